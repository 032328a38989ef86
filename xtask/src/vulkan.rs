//! Finds the Vulkan loader and its drivers the way the loader itself does, without loading either.
//!
//! A driver announces itself by a manifest (an "ICD" file, JSON) that names its library. The order of places is that of
//! the loader's documentation, "Driver discovery on Linux".

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process;

/// A driver whose manifest and library are both there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The manifest.
    pub manifest: PathBuf,
    /// The library that the manifest names, found.
    pub library: PathBuf,
}

impl Driver {
    /// Whether it draws on the CPU, so that it needs no device.
    pub fn is_software(&self) -> bool {
        let name = file_name(&self.library);
        ["lvp", "swiftshader"].iter().any(|part| name.contains(part))
    }
}

/// What a machine has.
#[derive(Debug, Default)]
pub struct Found {
    /// `libvulkan.so.1`.
    pub loader: Option<PathBuf>,
    /// Drivers that are whole.
    pub drivers: Vec<Driver>,
    /// Manifests that do not count, with the reason.
    pub broken: Vec<(PathBuf, String)>,
    /// Whether a GPU's device node is there.
    pub device_node: bool,
}

impl Found {
    /// The drivers that can give an adapter here: a hardware driver needs a device.
    pub fn usable(&self) -> Vec<&Driver> {
        if self.loader.is_none() {
            return Vec::new();
        }
        self.drivers.iter().filter(|driver| driver.is_software() || self.device_node).collect()
    }

    /// Why there is no usable driver, in a few words.
    pub fn missing(&self) -> String {
        if self.loader.is_none() {
            return "the Vulkan loader (libvulkan.so.1) is not installed".to_owned();
        }
        if let (true, Some((manifest, reason))) = (self.drivers.is_empty(), self.broken.first()) {
            return format!("{}: {reason}", manifest.display());
        }
        if self.drivers.is_empty() {
            return "no Vulkan driver is installed".to_owned();
        }
        "the Vulkan drivers installed are for GPUs, and there is no GPU here".to_owned()
    }
}

/// Where to look.
#[derive(Debug, Default)]
pub struct Search {
    /// Manifest files and folders of them, first to last.
    pub manifests: Vec<PathBuf>,
    /// Libraries that the dynamic linker knows.
    pub known: Vec<PathBuf>,
    /// Folders that the dynamic linker looks in.
    pub folders: Vec<PathBuf>,
    /// Device nodes, or folders whose entries are device nodes.
    pub nodes: Vec<PathBuf>,
}

impl Search {
    /// The places of this machine.
    pub fn here() -> Self {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let ldconfig = ["ldconfig", "/sbin/ldconfig", "/usr/sbin/ldconfig"]
            .iter()
            .find_map(|program| process::output(Command::new(program).arg("-p")).ok())
            .unwrap_or_default();
        let arch = std::env::consts::ARCH;
        let mut folders = paths(env("LD_LIBRARY_PATH"));
        folders.extend([format!("/usr/lib/{arch}-linux-gnu"), format!("/lib/{arch}-linux-gnu")].map(PathBuf::from));
        folders.extend(
            ["/usr/local/lib", "/usr/lib64", "/usr/lib", "/lib64", "/lib", "/run/opengl-driver/lib"].map(PathBuf::from),
        );
        Self {
            manifests: manifest_places(&env),
            known: known_libraries(&ldconfig),
            folders,
            nodes: ["/dev/dri", "/dev/nvidia0", "/dev/dxg", "/dev/mali0"].map(PathBuf::from).to_vec(),
        }
    }

    /// Looks.
    pub fn run(&self) -> Found {
        let mut found = Found {
            loader: self.library("libvulkan.so.1"),
            device_node: self.nodes.iter().any(|node| has_device(node)),
            ..Found::default()
        };
        for manifest in self.manifests.iter().flat_map(|place| manifests_in(place)) {
            match self.driver(&manifest) {
                // The same driver may be announced from two places.
                Ok(driver) if found.drivers.iter().any(|d| d.library == driver.library) => {}
                Ok(driver) => found.drivers.push(driver),
                Err(reason) => found.broken.push((manifest, reason)),
            }
        }
        found
    }

    fn driver(&self, manifest: &Path) -> Result<Driver, String> {
        let text = std::fs::read_to_string(manifest).map_err(|e| format!("cannot be read: {e}"))?;
        let named = library_path(&text)?;
        let missing = || format!("its library `{named}` is not there");
        let path = Path::new(&named);
        let library = if path.is_absolute() {
            Some(path.to_path_buf()).filter(|file| file.is_file())
        } else if named.contains('/') {
            // Relative to the manifest, says the loader's documentation.
            manifest.parent().map(|dir| dir.join(path)).filter(|file| file.is_file())
        } else {
            self.library(&named)
        }
        .ok_or_else(missing)?;
        if !is_for_this_machine(&library) {
            return Err(format!("its library `{named}` is for another kind of processor"));
        }
        Ok(Driver { manifest: manifest.to_path_buf(), library })
    }

    fn library(&self, name: &str) -> Option<PathBuf> {
        let known = self.known.iter().filter(|path| file_name(path) == name);
        known
            .cloned()
            .chain(self.folders.iter().map(|dir| dir.join(name)))
            .find(|path| path.is_file() && is_for_this_machine(path))
    }
}

/// The places where the loader looks for manifests, given the environment.
fn manifest_places(env: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    // These two replace the search.
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        if let Some(list) = env(name) {
            return paths(Some(list));
        }
    }
    let home = env("HOME").map(PathBuf::from);
    let or_home =
        |name: &str, below: &str| env(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(below)));
    let or_list = |name: &str, list: &str| paths(Some(env(name).unwrap_or_else(|| list.into())));
    let mut bases: Vec<PathBuf> = Vec::new();
    bases.extend(or_home("XDG_CONFIG_HOME", ".config"));
    bases.extend(or_list("XDG_CONFIG_DIRS", "/etc/xdg"));
    bases.extend(["/usr/local/etc", "/etc"].map(PathBuf::from));
    bases.extend(or_home("XDG_DATA_HOME", ".local/share"));
    bases.extend(or_list("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
    bases.extend(["/usr/local/share", "/usr/share", "/run/opengl-driver/share"].map(PathBuf::from));
    let mut places = paths(env("VK_ADD_DRIVER_FILES"));
    for base in bases {
        let place = base.join("vulkan/icd.d");
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn paths(list: Option<OsString>) -> Vec<PathBuf> {
    list.map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
        .unwrap_or_default()
}

/// A manifest itself, or the manifests in a folder in order of name.
fn manifests_in(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_path_buf()];
    }
    let Ok(entries) = std::fs::read_dir(place) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    files
}

fn library_path(manifest: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(manifest).map_err(|e| format!("is not JSON: {e}"))?;
    match value["ICD"]["library_path"].as_str() {
        Some(path) if !path.is_empty() => Ok(path.to_owned()),
        _ => Err("has no ICD.library_path".to_owned()),
    }
}

/// The paths in what `ldconfig -p` prints: `libX.so.1 (libc6,x86-64) => /lib/…/libX.so.1`.
fn known_libraries(ldconfig: &str) -> Vec<PathBuf> {
    ldconfig.lines().filter_map(|line| line.split_once(" => ")).map(|(_, path)| PathBuf::from(path.trim())).collect()
}

fn has_device(node: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(node) else {
        return node.exists();
    };
    entries.flatten().any(|entry| file_name(&entry.path()).starts_with("renderD"))
}

/// Whether an ELF file has this program's word size and processor; other files pass.
fn is_for_this_machine(file: &Path) -> bool {
    let mut head = [0_u8; 20];
    let read = std::fs::File::open(file).and_then(|mut f| f.read_exact(&mut head));
    if read.is_err() || head[..4] != *b"\x7fELF" {
        return true;
    }
    let wide = head[4] == 2;
    let machine = u16::from_le_bytes([head[18], head[19]]);
    let expected = match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        "riscv64" => Some(243),
        _ => None,
    };
    wide == cfg!(target_pointer_width = "64") && expected.is_none_or(|m| m == machine)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A machine with a loader in `lib` and one folder for manifests.
    fn machine(dir: &Path) -> Search {
        fs::create_dir_all(dir.join("lib")).unwrap();
        fs::create_dir_all(dir.join("icd.d")).unwrap();
        fs::write(dir.join("lib/libvulkan.so.1"), "a loader").unwrap();
        Search { manifests: vec![dir.join("icd.d")], folders: vec![dir.join("lib")], ..Search::default() }
    }

    fn manifest(dir: &Path, name: &str, library: &str) {
        let text =
            format!(r#"{{"ICD":{{"api_version":"1.3.0","library_path":"{library}"}},"file_format_version":"1.0.0"}}"#);
        fs::write(dir.join("icd.d").join(name), text).unwrap();
    }

    #[test]
    fn a_driver_counts_only_with_its_library() {
        let dir = tempfile::tempdir().unwrap();
        let search = machine(dir.path());
        manifest(dir.path(), "lvp.json", "libvulkan_lvp.so");
        let found = search.run();
        assert!(found.drivers.is_empty());
        assert_eq!(found.broken.len(), 1);
        assert!(found.missing().contains("libvulkan_lvp.so"), "{}", found.missing());

        fs::write(dir.path().join("lib/libvulkan_lvp.so"), "a driver").unwrap();
        let found = search.run();
        assert_eq!(found.usable()[0].library, dir.path().join("lib/libvulkan_lvp.so"));
        assert!(found.usable()[0].is_software());
    }

    #[test]
    fn libraries_are_found_by_every_kind_of_path() {
        let dir = tempfile::tempdir().unwrap();
        let search = machine(dir.path());
        for name in ["liba.so", "libb.so", "libc.so"] {
            fs::write(dir.path().join("lib").join(name), "a driver").unwrap();
        }
        manifest(dir.path(), "a.json", dir.path().join("lib/liba.so").to_str().unwrap());
        manifest(dir.path(), "b.json", "../lib/libb.so");
        manifest(dir.path(), "c.json", "libc.so");
        manifest(dir.path(), "d.json", "../lib/libd.so");
        let found = search.run();
        assert_eq!(found.drivers.len(), 3);
        assert_eq!(found.broken.len(), 1);
    }

    #[test]
    fn a_hardware_driver_needs_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let mut search = machine(dir.path());
        fs::write(dir.path().join("lib/libvulkan_intel.so"), "a driver").unwrap();
        manifest(dir.path(), "intel.json", "libvulkan_intel.so");
        assert!(search.run().usable().is_empty());
        assert!(search.run().missing().contains("no GPU"));

        let dri = dir.path().join("dri");
        fs::create_dir(&dri).unwrap();
        search.nodes = vec![dri.clone()];
        fs::write(dri.join("card0"), "").unwrap();
        assert!(search.run().usable().is_empty(), "a display is not a GPU that computes");
        fs::write(dri.join("renderD128"), "").unwrap();
        assert_eq!(search.run().usable().len(), 1);
    }

    #[test]
    fn no_loader_means_no_driver() {
        let dir = tempfile::tempdir().unwrap();
        let search = machine(dir.path());
        fs::write(dir.path().join("lib/libvulkan_lvp.so"), "a driver").unwrap();
        manifest(dir.path(), "lvp.json", "libvulkan_lvp.so");
        fs::remove_file(dir.path().join("lib/libvulkan.so.1")).unwrap();
        let found = search.run();
        assert!(found.usable().is_empty());
        assert!(found.missing().contains("libvulkan.so.1"));
    }

    #[test]
    fn spoilt_manifests_are_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let search = machine(dir.path());
        fs::write(dir.path().join("icd.d/a.json"), "{").unwrap();
        fs::write(dir.path().join("icd.d/b.json"), r#"{"ICD":{}}"#).unwrap();
        fs::write(dir.path().join("icd.d/c.txt"), "not a manifest").unwrap();
        let reasons: Vec<String> = search.run().broken.into_iter().map(|b| b.1).collect();
        assert_eq!(reasons.len(), 2);
        assert!(reasons[0].starts_with("is not JSON"));
        assert!(reasons[1].contains("library_path"));
    }

    #[test]
    fn a_library_for_another_processor_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let search = machine(dir.path());
        // A 32-bit x86 object.
        let mut elf = vec![0_u8; 64];
        elf[..5].copy_from_slice(b"\x7fELF\x01");
        elf[18] = 3;
        fs::write(dir.path().join("lib/libvulkan_lvp.so"), &elf).unwrap();
        manifest(dir.path(), "lvp.json", "../lib/libvulkan_lvp.so");
        let found = search.run();
        assert!(found.drivers.is_empty());
        assert!(found.broken[0].1.contains("another kind of processor"));
    }

    #[test]
    fn the_environment_replaces_or_extends_the_places() {
        let env = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let hit = pairs.iter().find(|(key, _)| *key == name);
                hit.map(|(_, value)| OsString::from(value))
            }
        };
        let only = manifest_places(&env(&[("VK_ICD_FILENAMES", "/a.json:/b.json"), ("HOME", "/h")]));
        assert_eq!(only, [PathBuf::from("/a.json"), PathBuf::from("/b.json")]);

        let usual = manifest_places(&env(&[("HOME", "/h"), ("VK_ADD_DRIVER_FILES", "/x.json")]));
        assert_eq!(usual[0], PathBuf::from("/x.json"));
        for place in [
            "/h/.config/vulkan/icd.d",
            "/etc/vulkan/icd.d",
            "/h/.local/share/vulkan/icd.d",
            "/usr/local/share/vulkan/icd.d",
            "/usr/share/vulkan/icd.d",
        ] {
            assert!(usual.contains(&PathBuf::from(place)), "{place} is missing");
        }
    }

    #[test]
    fn ldconfig_is_read() {
        let text = "102 libs found in cache\n\tlibvulkan.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libvulkan.so.1\n";
        assert_eq!(known_libraries(text), [PathBuf::from("/lib/x86_64-linux-gnu/libvulkan.so.1")]);
    }
}
