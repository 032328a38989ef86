//! A folder with a system of its own, whose driver programs see that are started in it by `chroot`.
//!
//! Nothing is mounted where others see it: [`Root::command`] mounts in a namespace that ends with its programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::setup::apt_install;
use crate::verb::{Result, failed};

/// Written when everything is installed.
const DONE: &str = "driver-installed";

/// Mounts, below the root that is the first argument, the folders up to `--`, and runs the rest.
const ENTER: &str = r#"
root=$1; shift
mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount --rbind /sys "$root/sys" || exit 125
while [ "$1" != -- ]; do
    mkdir -p "$root$1" && mount --bind "$1" "$root$1" || exit 125
    shift
done
shift
exec "$@"
"#;

/// A system in a folder.
#[derive(Debug)]
pub struct Root {
    dir: PathBuf,
    runner: PathBuf,
}

impl Root {
    /// Makes a minimal Debian of `suite` with Mesa's Vulkan drivers in `dir`, or takes the one that is there. The drivers come
    /// from the suite `newer` where one is given.
    pub fn make(dir: &Path, suite: &str, newer: Option<&str>) -> Result<Self> {
        if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
            return Err(failed("needs root, for debootstrap and chroot"));
        }
        let io = |e: std::io::Error| failed(format!("{}: {e}", dir.display()));
        let runner = dir.with_extension("sh");
        if !dir.join(DONE).is_file() {
            if process::on_path("debootstrap").is_none() && !Path::new("/usr/sbin/debootstrap").is_file() {
                apt_install(&["debootstrap"])?;
            }
            if dir.exists() {
                std::fs::remove_dir_all(dir).map_err(io)?;
            }
            let mut make = Command::new("debootstrap");
            make.args(["--variant=minbase", suite]).arg(dir).args(mirror());
            process::run(&mut make)?;
            for file in ["resolv.conf", "hosts"] {
                // Some systems have none of one of them.
                let _ = std::fs::copy(Path::new("/etc").join(file), dir.join("etc").join(file));
            }
            copy_apt_settings(dir)?;
            if let Some(newer) = newer {
                let list = dir.join("etc/apt/sources.list");
                let made = std::fs::read_to_string(&list).map_err(io)?;
                std::fs::write(list, format!("{made}{}", made.replace(suite, newer))).map_err(io)?;
            }
            let apt = |args: &[&str]| {
                let mut command = Command::new("chroot");
                command.arg(dir).args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(args);
                process::run(&mut command)
            };
            // The list of an unstable suite may be called expired, which does no harm here.
            let _ = apt(&["update"]);
            let mut install = vec!["install", "-y", "--no-install-recommends"];
            install.extend(newer.iter().flat_map(|newer| ["-t", newer]));
            install.extend(["mesa-vulkan-drivers", "libvulkan1"]);
            apt(&install)?;
            std::fs::write(dir.join(DONE), "").map_err(io)?;
        }
        // Where a program starts, `chroot` forgets the folder that it was started in.
        let script = format!("#!/bin/sh\nexec chroot '{}' env -C \"$PWD\" \"$@\"\n", dir.display());
        std::fs::write(&runner, script).map_err(io)?;
        process::run(Command::new("chmod").arg("755").arg(&runner))?;
        Ok(Self { dir: dir.to_owned(), runner })
    }

    /// A script that runs its arguments in the root, in the folder that it was started in.
    pub fn runner(&self) -> &Path {
        &self.runner
    }

    /// `program`, for which the folders `shared` and the temporary one are in the root too.
    pub fn command(&self, program: &Command, shared: &[PathBuf]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "sh"]).arg(&self.dir);
        command.args(shared).arg(std::env::temp_dir()).arg("--").arg(program.get_program()).args(program.get_args());
        command
    }
}

/// Where this machine's packages come from, if they are Debian's; debootstrap has a mirror of its own choice.
fn mirror() -> Option<String> {
    let format = "$(ORIGIN) $(LABEL) $(REPO_URI)";
    let listed = process::output(Command::new("apt-get").args(["indextargets", "--format", format])).ok()?;
    listed.lines().find_map(|line| line.strip_prefix("Debian Debian ")).map(|uri| uri.trim().to_owned())
}

/// Proxies and the like hold in the root as they do outside.
fn copy_apt_settings(dir: &Path) -> Result {
    let folder = Path::new("/etc/apt/apt.conf.d");
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if text.contains("Acquire::") && entry.file_name() != OsStr::new("docker-gzip-indexes") {
            let to = dir.join("etc/apt/apt.conf.d").join(entry.file_name());
            std::fs::write(&to, text).map_err(|e| failed(format!("{}: {e}", to.display())))?;
        }
    }
    Ok(())
}
