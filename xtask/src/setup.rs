//! `setup`: a Vulkan driver, found or installed.

use std::ffi::OsString;
use std::process::Command;

use crate::process;
use crate::verb::{Result, Verb, failed, no_options};
use crate::vulkan::{Found, Search};

/// The verb.
pub const VERB: Verb = Verb {
    name: "setup",
    about: "Find a Vulkan driver; without one, install the software driver or say how.",
    help: HELP,
    run: |args| {
        no_options(args)?;
        ensure(true)
    },
};

const HELP: &str = "\
Usage: cargo xtask setup

Looks for the Vulkan loader and for driver manifests whose library exists. Without a driver that can work here it
installs Mesa's software driver on Debian and Ubuntu (as root, or by sudo where that asks for no password), and
elsewhere prints the command that does and exits 1. On macOS and Windows the system brings what is needed.
";

const PACKAGES: &[&str] = &["mesa-vulkan-drivers", "libvulkan1"];

/// Makes sure of a driver; `verbose` lists what was found.
pub fn ensure(verbose: bool) -> Result {
    if !cfg!(target_os = "linux") {
        if verbose {
            println!("nothing to set up: the system brings its own graphics drivers");
        }
        return Ok(());
    }
    let found = Search::here().run();
    if verbose {
        report(&found);
    }
    if !found.usable().is_empty() {
        return Ok(());
    }
    eprintln!("{}", found.missing());
    install_software_driver()?;
    let found = Search::here().run();
    if found.usable().is_empty() {
        return Err(failed(format!("{} although the installation succeeded", found.missing())));
    }
    report(&found);
    Ok(())
}

fn report(found: &Found) {
    if let Some(loader) = &found.loader {
        println!("loader  {}", loader.display());
    }
    for driver in &found.drivers {
        let kind = match (driver.is_software(), found.device_node) {
            (true, _) => "software",
            (false, true) => "hardware",
            (false, false) => "hardware, but there is no device for it",
        };
        println!("driver  {} ({kind})", driver.manifest.display());
    }
    for (manifest, reason) in &found.broken {
        println!("unfit   {}: {reason}", manifest.display());
    }
}

/// Installs the software driver, or fails with the command that would.
pub fn install_software_driver() -> Result {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let family = Family::of(&release, process::on_path("brew").is_some());
    if family == Family::Debian {
        apt_install(PACKAGES)
    } else {
        Err(failed(format!("install the software Vulkan driver with: {}", family.command())))
    }
}

/// Installs Debian packages, or fails with the command that would.
pub fn apt_install(packages: &[&str]) -> Result {
    let by_hand = format!("sudo apt-get install -y {}", packages.join(" "));
    let prefix: &[&str] = if is_root() {
        &[]
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        &["sudo", "-n"]
    } else {
        return Err(failed(format!("not allowed to install; run: {by_hand}")));
    };
    let apt = |args: &[&str]| {
        let mut words: Vec<OsString> = prefix.iter().map(OsString::from).collect();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"].map(OsString::from));
        words.extend(args.iter().map(OsString::from));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    };
    let install: Vec<&str> = ["install", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect();
    // A machine may hold no package lists yet, or old ones: then the first try fails.
    let have_lists = process::succeeds(Command::new("apt-cache").arg("show").args(packages));
    if have_lists && process::run(&mut apt(&install)).is_ok() {
        return Ok(());
    }
    process::run(&mut apt(&["update"]))
        .and_then(|()| process::run(&mut apt(&install)))
        .map_err(|_| failed(format!("the installation failed; see above, then run: {by_hand}")))
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

/// A family of Linux distributions: those that share a package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Debian,
    Fedora,
    Arch,
    Alpine,
    Suse,
    Nix,
    Brew,
    Unknown,
}

impl Family {
    /// Reads `/etc/os-release`: `ID`, then the names in `ID_LIKE`.
    fn of(release: &str, has_brew: bool) -> Self {
        let value = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().trim_matches(['"', '\''])
        };
        let names = format!("{} {}", value("ID="), value("ID_LIKE="));
        for name in names.split_whitespace() {
            match name {
                "debian" | "ubuntu" => return Self::Debian,
                "fedora" | "rhel" | "centos" => return Self::Fedora,
                "arch" => return Self::Arch,
                "alpine" => return Self::Alpine,
                "suse" | "opensuse" | "sles" => return Self::Suse,
                "nixos" => return Self::Nix,
                _ => {}
            }
        }
        if has_brew { Self::Brew } else { Self::Unknown }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Debian => "sudo apt-get install -y mesa-vulkan-drivers libvulkan1",
            Self::Fedora => "sudo dnf install -y mesa-vulkan-drivers vulkan-loader",
            Self::Arch => "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader",
            Self::Alpine => "sudo apk add mesa-vulkan-swrast vulkan-loader",
            Self::Suse => "sudo zypper install libvulkan_lvp libvulkan1",
            Self::Nix => {
                "export VK_DRIVER_FILES=$(echo $(nix build --no-link --print-out-paths nixpkgs#mesa)/share/vulkan/icd.d/lvp_icd.*.json) \
                 LD_LIBRARY_PATH=$(nix build --no-link --print-out-paths nixpkgs#vulkan-loader)/lib"
            }
            Self::Brew => "brew install mesa vulkan-loader",
            Self::Unknown => {
                "your package manager; the packages are Mesa's Vulkan drivers (lavapipe) and the Vulkan loader"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_told_by_id_then_by_likeness() {
        let of = |text| Family::of(text, false);
        assert_eq!(of("NAME=x\nID=debian\n"), Family::Debian);
        assert_eq!(of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Family::Debian);
        assert_eq!(of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Family::Fedora);
        assert_eq!(of("ID=manjaro\nID_LIKE=arch\n"), Family::Arch);
        assert_eq!(of("ID=alpine\nVERSION_ID=3.20\n"), Family::Alpine);
        assert_eq!(of("ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n"), Family::Suse);
        assert_eq!(of("ID=nixos\n"), Family::Nix);
        assert_eq!(of(""), Family::Unknown);
        assert_eq!(Family::of("", true), Family::Brew);
    }

    #[test]
    fn every_command_is_one_line() {
        for family in [
            Family::Debian,
            Family::Fedora,
            Family::Arch,
            Family::Alpine,
            Family::Suse,
            Family::Nix,
            Family::Brew,
            Family::Unknown,
        ] {
            assert!(!family.command().contains('\n') && !family.command().is_empty());
        }
    }
}
