//! Finding pictures.

use std::fs;

use vljepa_data::{DataError, find_pictures};

#[test]
fn pictures_are_found_sorted_and_others_left() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("b/c")).unwrap();
    fs::create_dir_all(root.join(".hidden")).unwrap();
    for name in ["z.png", "a.JPG", "b/m.webp", "b/c/n.gif", "b.txt", "b/png", ".hidden/x.png", ".dot.png"] {
        fs::write(root.join(name), b"x").unwrap();
    }
    let found = find_pictures(root).unwrap();
    let want = ["a.JPG", "b/c/n.gif", "b/m.webp", "z.png"].map(|name| root.join(name));
    assert_eq!(found, want);
    assert_eq!(find_pictures(root.join("b.txt")).unwrap(), [root.join("b.txt")], "a file is itself");
    assert!(matches!(find_pictures(root.join("none")), Err(DataError::Missing(_))));
    fs::create_dir(root.join("empty")).unwrap();
    assert!(find_pictures(root.join("empty")).unwrap().is_empty());
}

#[cfg(unix)]
#[test]
fn loops_of_links_end() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir(root.join("a")).unwrap();
    fs::write(root.join("a/one.png"), b"x").unwrap();
    std::os::unix::fs::symlink(root, root.join("a/up")).unwrap();
    std::os::unix::fs::symlink(root.join("a"), root.join("link")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("dead.png")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("dead.txt")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join(".dead.png")).unwrap();
    // A link to nothing that is named as a picture is listed, so that reading it reports the fault.
    let dead = root.join("dead.png");
    assert_eq!(find_pictures(root).unwrap(), [root.join("a/one.png"), dead.clone()]);
    let error = vljepa_data::decode_file(&dead, &vljepa_data::Limits::default()).unwrap_err().to_string();
    assert!(error.contains("dead.png") && error.contains("leads to nothing; remove it"), "{error}");
}
