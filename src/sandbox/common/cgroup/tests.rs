//! The writer against a directory tree, of both versions.

use super::*;

const V1_MOUNTS: &str = "\
22 1 0:5 / /proc rw - proc proc rw
31 1 0:26 / ROOT/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 1 0:27 / ROOT/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
33 1 0:28 /docker/abc ROOT/pids rw - cgroup cgroup rw,pids
34 1 0:29 / ROOT/freezer rw - cgroup cgroup rw,freezer
";
const V1_OWN: &str = "3:cpu,cpuacct:/\n2:memory:/system.slice/x\n4:pids:/docker/abc/deep\n0::/\n";

fn limits() -> Limits {
    Limits { memory_bytes: 64 << 20, cpu_millis: 1500, processes: 32, ..Limits::default() }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Empties a fake cgroup: the kernel removes the files with the directory, a disk does not.
fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[test]
fn version_1_is_found_where_the_process_stands() {
    let layout = Layout::parse(&V1_MOUNTS.replace("ROOT", "/cg"), V1_OWN);
    let bases: Vec<&str> = layout.bases().map(|(_, base)| base.to_str().unwrap()).collect();
    assert_eq!(bases, ["/cg/cpu,cpuacct/", "/cg/memory/system.slice/x", "/cg/pids/deep"]);
    let cpu = Controllers { cpu: true, ..Controllers::default() };
    assert_eq!(layout.hierarchies[0].controllers, cpu);
}

#[test]
fn the_whole_memory_hierarchy_is_found_and_no_part_of_it() {
    assert_eq!(Layout::version_1_memory(V1_MOUNTS), Some(PathBuf::from("ROOT/memory")));
    let part = V1_MOUNTS.replace("/ ROOT/memory", "/docker/abc ROOT/memory");
    assert_eq!(Layout::version_1_memory(&part), None);
}

#[test]
fn a_path_the_mount_does_not_show_falls_back_to_the_mount() {
    let own = "4:pids:/elsewhere\n";
    let layout = Layout::parse(&V1_MOUNTS.replace("ROOT", "/cg"), own);
    assert_eq!(layout.hierarchies[0].bases, [PathBuf::from("/cg/pids")]);
}

#[tokio::test]
async fn version_1_gets_one_directory_a_controller_with_its_limits() {
    let root = tempfile::tempdir().unwrap();
    for dir in ["cpu,cpuacct", "memory/system.slice/x", "pids/deep"] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    let mounts = V1_MOUNTS.replace("ROOT", root.path().to_str().unwrap());
    let layout = Layout::parse(&mounts, V1_OWN);
    let candidates = Cgroups::candidates(&layout, "cellgate-7");
    let cgroups = Cgroups::prepare(&layout, "cellgate-7");
    assert!(cgroups.problems.is_empty(), "{:?}", cgroups.problems);
    assert!(candidates.iter().all(|dir| dir.is_dir()), "{candidates:?}");
    assert_eq!(cgroups.controllers(), Controllers { memory: true, cpu: true, pids: true });

    assert!(!cgroups.limits_buffers(), "no accounting of socket buffers here");
    let session = cgroups.create("abc", &limits()).unwrap();
    let cpu = root.path().join("cpu,cpuacct/cellgate-7/abc");
    let memory = root.path().join("memory/system.slice/x/cellgate-7/abc");
    let pids = root.path().join("pids/deep/cellgate-7/abc");
    assert_eq!(read(&cpu.join("cpu.cfs_quota_us")), "150000");
    assert_eq!(read(&cpu.join("cpu.cfs_period_us")), "100000");
    assert_eq!(read(&memory.join("memory.limit_in_bytes")), "67108864");
    assert!(!memory.join("memory.memsw.limit_in_bytes").exists(), "no swap accounting here");
    assert_eq!(read(&pids.join("pids.max")), "32");
    assert!(session.dirs().all(|(_, unified)| !unified));

    assert_eq!(session.oom_kills(), 0);
    fs::write(memory.join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
        .unwrap();
    assert_eq!(session.oom_kills(), 3);

    for dir in [&cpu, &memory, &pids] {
        empty(dir);
    }
    session.remove(Duration::from_secs(1)).await.unwrap();
    assert!(!cpu.exists() && !memory.exists() && !pids.exists());
}

#[test]
fn version_1_limits_socket_buffers_apart() {
    let root = tempfile::tempdir().unwrap();
    let gateway = root.path().join("cellgate-7");
    fs::create_dir(&gateway).unwrap();
    let file = "memory.kmem.tcp.limit_in_bytes";
    fs::write(gateway.join(file), "9223372036854771712").unwrap();
    let controllers = Controllers { memory: true, ..Controllers::default() };
    let roots = vec![Root { dir: gateway.clone(), unified: false, controllers }];
    assert!(Cgroups { roots, problems: Vec::new() }.limits_buffers());
    // As the kernel makes a directory: with its files in it.
    let session = gateway.join("abc");
    fs::create_dir(&session).unwrap();
    fs::write(session.join(file), "9223372036854771712").unwrap();
    Dir { path: session.clone(), unified: false }.limit(controllers, &limits()).unwrap();
    assert_eq!(read(&session.join(file)), "8388608", "an eighth of 64 MiB");
}

/// A fake unified hierarchy with the gateway's own cgroup in it.
fn unified_tree() -> (tempfile::TempDir, Layout) {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("user.slice/app");
    fs::create_dir_all(&own).unwrap();
    for dir in [root.path(), &own] {
        fs::write(dir.join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    }
    let mounts = format!("30 1 0:25 / {} rw - cgroup2 cgroup2 rw\n", root.path().display());
    let layout = Layout::parse(&mounts, "0::/user.slice/app\n");
    (root, layout)
}

#[test]
fn version_2_prefers_the_own_cgroup_and_knows_the_root() {
    let (root, layout) = unified_tree();
    let [hierarchy] = &layout.hierarchies[..] else { panic!("{layout:?}") };
    assert!(hierarchy.unified);
    assert_eq!(hierarchy.bases, [root.path().join("user.slice/app"), root.path().to_owned()]);
}

#[test]
fn version_2_enables_controllers_and_limits_one_directory() {
    let (root, layout) = unified_tree();
    let base = root.path().join("user.slice/app");
    // What the kernel would put into a new directory stands there before.
    let dir = base.join("cellgate-9");
    let error = Cgroups::prepare(&layout, "cellgate-9").problems;
    assert!(!error.is_empty(), "a directory without controllers cannot limit anything");
    assert!(!dir.exists(), "and does not stay");
    assert_eq!(read(&base.join("cgroup.subtree_control")), "+pids");

    fs::create_dir(&dir).unwrap();
    let roots = vec![Root {
        dir: dir.clone(),
        unified: true,
        controllers: Controllers { memory: true, cpu: true, pids: true },
    }];
    let cgroups = Cgroups { roots, problems: Vec::new() };
    assert!(cgroups.limits_buffers(), "version 2 counts them as memory");
    let session = cgroups.create("abc", &limits()).unwrap();
    assert_eq!(read(&dir.join("abc/memory.max")), "67108864");
    assert_eq!(read(&dir.join("abc/cpu.max")), "150000 100000");
    assert_eq!(read(&dir.join("abc/pids.max")), "32");
    fs::write(dir.join("abc/memory.events"), "low 0\nmax 9\noom 2\noom_kill 1\n").unwrap();
    assert_eq!(session.oom_kills(), 1);
}

#[test]
fn a_name_in_use_is_an_error_that_names_the_path() {
    let root = tempfile::tempdir().unwrap();
    let controllers = Controllers { pids: true, ..Controllers::default() };
    let dir = root.path().to_owned();
    let cgroups =
        Cgroups { roots: vec![Root { dir, unified: true, controllers }], problems: Vec::new() };
    fs::create_dir(root.path().join("abc")).unwrap();
    let error = cgroups.create("abc", &limits()).unwrap_err();
    assert!(error.to_string().contains("abc"), "{error}");
    assert!(root.path().join("abc").exists(), "the directory of another sandbox stays");
}

#[tokio::test(start_paused = true)]
async fn removal_gives_up_at_its_deadline_and_says_what_is_left() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("busy");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("file"), "").unwrap(); // as a process does in a real one
    let session = SessionCgroup { dirs: vec![Dir { path, unified: true }] };
    let error = session.remove(Duration::from_secs(5)).await.unwrap_err();
    assert!(error.to_string().contains("busy"), "{error}");
}
