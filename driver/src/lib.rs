//! The program inside a cellgate sandbox, and the wire it speaks with the gateway.
//!
//! The gateway uses [`wire`] and [`spec`] from this library; the binary beside it is PID 1 of
//! every sandbox.

pub mod spec;
pub mod wire;

/// The module of the runner of Jupyter's kernels that finds them: Python without imports of ours. The gateway asks it
/// whether a machine has a kernel before a sandbox is made.
pub const KERNEL_SPECS: &str = include_str!("../runner/jupyter/kernel_specs.py");
