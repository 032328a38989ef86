//! Tells the crate which models there are to carry.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(compact_model, sprites_model, two_room_model)");
    let has =
        |model: &str, files: &[&str]| files.iter().all(|file| Path::new("assets").join(model).join(file).is_file());
    let own = ["config.json", "model.safetensors.index.json", "model-00002-of-00002.safetensors", "README.md"];
    let shared = ["model-00001-of-00002.safetensors", "target_tokenizer.json"];
    if has("two-room", &["config.json", "model.safetensors", "guide.safetensors", "README.md"]) {
        println!("cargo::rustc-cfg=two_room_model");
    }
    if has("compact", &own) && has("compact", &shared) {
        println!("cargo::rustc-cfg=compact_model");
        if has("sprites", &own) {
            println!("cargo::rustc-cfg=sprites_model");
        }
    }
}
