//! Collects every `.wgsl` file of the package into one table of `(path, text)`.

use std::{env, fs, io, path::Path};

fn collect(root: &Path, dir: &Path, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["src", "tests", "examples", "target"].contains(&name.as_str()) && !name.starts_with('.') {
                collect(root, &path, found)?;
            }
        } else if name.ends_with(".wgsl") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            found.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let mut files = Vec::new();
    collect(Path::new(&root), Path::new(&root), &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        println!("cargo::rerun-if-changed={file}");
        table += &format!("    ({file:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{file}\"))),\n");
    }
    table += "]\n";
    for dir in files.iter().filter_map(|f| f.split_once('/')).map(|(d, _)| d) {
        println!("cargo::rerun-if-changed={dir}");
    }
    println!("cargo::rerun-if-changed=.");
    fs::write(Path::new(&out).join("sources.rs"), table)
}
