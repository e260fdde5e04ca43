//! Which files a cell made or changed.

use cellgate_driver::wire::files::FileCommand;
use cellgate_driver::wire::{Setup, kind};

use super::harness::{Gateway, setup};

/// A gateway whose working directory has nothing in it.
fn start() -> Gateway {
    let mut gateway =
        Gateway::bare(std::process::Command::new(env!("CARGO_BIN_EXE_cellgate-driver")));
    let workdir = gateway.path("work");
    std::fs::create_dir(&workdir).unwrap();
    let workdir = workdir.to_str().unwrap().to_owned();
    gateway.send(kind::SETUP, 0, &Setup { workdir, ..setup() }.encode());
    gateway.expect(kind::READY);
    gateway
}

/// Runs a cell; the byte of its FILES_CHANGED and the paths in order, if one came.
fn run(gateway: &mut Gateway, cell: u32, code: &str) -> Option<(u8, Vec<String>)> {
    gateway.execute(cell, code);
    let (frames, _) = gateway.finish(cell);
    let mut told = frames.iter().filter(|frame| frame.kind == kind::FILES_CHANGED);
    let frame = told.next()?;
    assert!(told.next().is_none(), "it is told once");
    assert_eq!((frame.program, frame.cell, frame.flags), (0, cell, 0));
    let (more, paths) = frame.payload.split_first().unwrap();
    let paths = paths.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0);
    let mut paths: Vec<String> = paths.map(|path| path.escape_ascii().to_string()).collect();
    paths.sort();
    Some((*more, paths))
}

#[test]
fn files_that_a_cell_made_or_changed_are_told_before_its_end() {
    let mut gateway = start();
    assert_eq!(run(&mut gateway, 1, "pass"), None);
    let code = "open('made', 'w').write('x'); os.makedirs('sub/deep'); open('sub/deep/too', 'w')";
    let made = run(&mut gateway, 2, code);
    assert_eq!(made, Some((0, vec!["made".into(), "sub/deep/too".into()])));
    assert_eq!(run(&mut gateway, 3, "open('made').read()"), None, "it was only read");
    let changed = run(&mut gateway, 4, "open('made', 'a').write('y')");
    assert_eq!(changed, Some((0, vec!["made".into()])));
    assert_eq!(run(&mut gateway, 5, "os.unlink('made')"), None, "it is gone");
    let moved = run(&mut gateway, 6, "os.rename('sub/deep/too', 'moved')");
    assert_eq!(moved, Some((0, vec!["moved".into()])));
}

#[test]
fn a_file_is_told_once_though_cells_are_short() {
    let mut gateway = start();
    for round in 0..50 {
        let cell = 3 * round + 1;
        let name = format!("file{round}");
        let told = run(&mut gateway, cell, &format!("open('{name}', 'w').close()"));
        assert_eq!(told, Some((0, vec![name])));
        assert_eq!(run(&mut gateway, cell + 1, "pass"), None);
        assert_eq!(run(&mut gateway, cell + 2, "pass"), None);
    }
}

#[test]
fn neither_hidden_files_nor_links_out_of_the_tree_are_told() {
    let mut gateway = start();
    std::fs::create_dir(gateway.path("outside")).unwrap();
    let code = "os.symlink('../outside', 'link'); open('link/file', 'w'); os.symlink('link/file', 'other')\n\
                open('.hidden', 'w'); os.mkdir('__pycache__'); open('__pycache__/x', 'w')\n\
                os.mkfifo('fifo')";
    assert_eq!(run(&mut gateway, 1, code), None);
    let odd = run(&mut gateway, 2, "open(b'odd\\xff\\n', 'w').close()");
    assert_eq!(odd, Some((0, vec!["odd\\xff\\n".into()])));
}

#[test]
fn of_very_many_files_a_part_is_told() {
    let mut gateway = start();
    let code = "for number in range(300): open('f%d' % number, 'w').close()";
    let (more, paths) = run(&mut gateway, 1, code).unwrap();
    assert_eq!((more, paths.len()), (1, 100));
    assert_eq!(gateway.run(2, "out(b'goes on')"), "goes on");
}

#[test]
fn what_the_gateway_wrote_is_not_a_cells() {
    let mut gateway = start();
    for cell in 1..20 {
        let path = format!("uploaded{cell}");
        for command in
            [FileCommand::Write(path.as_bytes()), FileCommand::Append(b"text"), FileCommand::Commit]
        {
            gateway.send(kind::FILE, cell, &command.encode());
            gateway.expect(kind::FILE_ANSWER);
        }
        assert_eq!(run(&mut gateway, cell, "pass"), None);
    }
}
