//! Turns the list into a classic BPF program for seccomp.
//!
//! ```text
//!   other architecture → kill · newer than the list, called absent → ENOSYS
//!   calls with conditions, one block each: all conditions of one entry hold → allow, else refuse
//!   ranges of numbers in ascending order: below → EPERM, inside → allow
//!   above all → EPERM
//! ```
//! No jump leaves its block, so none comes near the 255 instructions a conditional jump can reach.

use std::collections::BTreeMap;

use super::table::{self, Condition};

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

// Offsets in `struct seccomp_data`: nr i32 · arch u32 · instruction pointer u64 · args [u64; 6].
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

impl Instruction {
    fn new(code: u16, value: u32) -> Instruction {
        Instruction { code, if_true: 0, if_false: 0, value }
    }

    /// A test that skips instructions either way.
    fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
        Instruction { code, if_true, if_false, value }
    }

    /// As the kernel reads it.
    pub(super) fn bytes(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[0..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[2] = self.if_true;
        bytes[3] = self.if_false;
        bytes[4..8].copy_from_slice(&self.value.to_ne_bytes());
        bytes
    }
}

/// Compiles the list for one architecture.
pub(super) fn compile(arch: u32) -> Vec<Instruction> {
    let entries = table::rules();
    let mut by_number: BTreeMap<i64, Vec<&[Condition]>> = BTreeMap::new();
    for entry in &entries {
        by_number.entry(entry.nr).or_default().push(entry.conditions);
    }
    let mut program = vec![
        Instruction::new(LOAD_WORD, ARCH),
        Instruction::jump(JUMP_EQUAL, arch, 1, 0),
        Instruction::new(RETURN, KILL),
        Instruction::new(LOAD_WORD, NR),
        Instruction::jump(JUMP_GREATER, table::NEWEST as u32, 0, 1),
        Instruction::new(RETURN, ENOSYS),
    ];
    for &(_, nr) in table::ABSENT {
        program.extend([
            Instruction::jump(JUMP_EQUAL, nr as u32, 0, 1),
            Instruction::new(RETURN, ENOSYS),
        ]);
    }
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for (number, alternatives) in by_number {
        let nr = number as u32;
        if alternatives.iter().any(|conditions| conditions.is_empty()) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == nr => *last = nr,
                _ => ranges.push((nr, nr)),
            }
            continue;
        }
        let mut block: Vec<Instruction> =
            alternatives.iter().flat_map(|c| alternative(c)).collect();
        let refusal = table::REFUSALS.iter().find(|(refused, _)| *refused == number);
        let errno = refusal.map_or(libc::EPERM, |(_, errno)| *errno);
        block.push(Instruction::new(RETURN, libc::SECCOMP_RET_ERRNO | errno as u32));
        program.push(Instruction::jump(JUMP_EQUAL, nr, 0, block.len() as u8));
        program.append(&mut block);
    }
    for (first, last) in ranges {
        program.extend([
            Instruction::jump(JUMP_AT_LEAST, first, 1, 0),
            Instruction::new(RETURN, EPERM),
            Instruction::jump(JUMP_GREATER, last, 1, 0),
            Instruction::new(RETURN, ALLOW),
        ]);
    }
    program.push(Instruction::new(RETURN, EPERM));
    program
}

/// Allows if all conditions hold, and otherwise goes on after itself.
fn alternative(conditions: &[Condition]) -> Vec<Instruction> {
    let mut code = vec![Instruction::new(RETURN, ALLOW)];
    // From the last on, as each has to know how much comes after it.
    for condition in conditions.iter().rev() {
        let past = code.len() as u8;
        let (argument, mask, test) = match *condition {
            Condition::Is(argument, value) => {
                (argument, None, Instruction::jump(JUMP_EQUAL, value, 0, past))
            }
            Condition::IsNot(argument, value) => {
                (argument, None, Instruction::jump(JUMP_EQUAL, value, past, 0))
            }
            Condition::Clear(argument, mask) => {
                (argument, None, Instruction::jump(JUMP_ANY_BIT, mask, past, 0))
            }
            Condition::Masked(argument, mask, value) => {
                (argument, Some(mask), Instruction::jump(JUMP_EQUAL, value, 0, past))
            }
        };
        // The low half, on the little-endian machines there are filters for.
        let load = Instruction::new(LOAD_WORD, ARGS + 8 * u32::from(argument));
        let masked = mask.map(|mask| Instruction::new(AND, mask));
        code.splice(0..0, [load].into_iter().chain(masked).chain([test]));
    }
    code
}

/// One system call, as a filter sees it.
#[cfg(test)]
pub(super) struct Call {
    pub(super) nr: u32,
    pub(super) arch: u32,
    pub(super) args: [u64; 6],
}

/// What the kernel would make of a program and a call.
#[cfg(test)]
pub(super) fn evaluate(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let Instruction { code, if_true, if_false, value } = program[at];
        at += 1;
        let truth = match code {
            LOAD_WORD => {
                accumulator = match value {
                    NR => call.nr,
                    ARCH => call.arch,
                    at if at >= ARGS && (at - ARGS).is_multiple_of(8) => {
                        call.args[((at - ARGS) / 8) as usize] as u32
                    }
                    other => panic!("a load from {other}"),
                };
                continue;
            }
            AND => {
                accumulator &= value;
                continue;
            }
            RETURN => return value,
            JUMP_EQUAL => accumulator == value,
            JUMP_GREATER => accumulator > value,
            JUMP_AT_LEAST => accumulator >= value,
            JUMP_ANY_BIT => accumulator & value != 0,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if truth { if_true } else { if_false });
    }
}
