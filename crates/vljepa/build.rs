//! Tells the crate whether there is a compact model to carry.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(compact_model)");
    let dir = Path::new("assets/compact");
    if [
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "target_tokenizer.json",
        "README.md",
    ]
    .iter()
    .all(|f| dir.join(f).is_file())
    {
        println!("cargo::rustc-cfg=compact_model");
    }
}
