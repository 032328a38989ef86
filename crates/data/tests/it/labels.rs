//! Label lists.

use vljepa_data::{DataError, parse_labels, read_labels, read_numbered_labels};

#[cfg(unix)]
#[test]
fn a_device_is_no_list_of_labels() {
    let error = read_labels("/dev/zero").unwrap_err().to_string();
    assert!(error.contains("/dev/zero") && error.contains("not a regular file"), "{error}");
    let error = vljepa_data::decode_file("/dev/zero", &vljepa_data::Limits::default()).unwrap_err().to_string();
    assert!(error.contains("/dev/zero") && error.contains("not a regular file"), "{error}");
}

/// A list of its three lines would be three labels.
#[test]
fn a_pointer_or_a_page_is_no_list() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list.txt");
    for (content, words) in [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 90\n", "git lfs pull"),
        ("<!DOCTYPE html>\n<html>403</html>\n", "is an HTML page"),
    ] {
        std::fs::write(&path, content).unwrap();
        let errors = [read_labels(&path).unwrap_err(), vljepa_data::read_texts(&path).unwrap_err()];
        for error in errors.map(|error| error.to_string()) {
            assert!(error.contains("list.txt: ") && error.contains(words), "{error}");
        }
    }
}

#[test]
fn a_folder_is_no_list() {
    let dir = tempfile::tempdir().unwrap();
    let message = read_labels(dir.path()).unwrap_err().to_string();
    assert!(message.contains("is a folder") && message.contains("one label or answer a line"), "{message}");
}

#[test]
fn labels_are_trimmed_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.txt");
    std::fs::write(&path, "\u{feff}cat\r\n\n  hot dog \n#1\n").unwrap();
    assert_eq!(read_labels(&path).unwrap(), ["cat", "hot dog", "#1"]);
    let (labels, lines) = read_numbered_labels(&path).unwrap();
    assert_eq!((labels, lines), (read_labels(&path).unwrap(), vec![1, 3, 4]));
}

#[test]
fn lines_end_as_any_system_ends_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.txt");
    for text in
        ["cat\rhot dog\r\rbird", "cat\nhot dog\n\nbird\n", "cat\r\nhot dog\r\n\r\nbird\r\n", "cat\rhot dog\n\rbird\r"]
    {
        std::fs::write(&path, text).unwrap();
        let want = (["cat", "hot dog", "bird"].map(String::from).to_vec(), vec![1, 2, 4]);
        assert_eq!(read_numbered_labels(&path).unwrap(), want, "{text:?}");
    }
    std::fs::write(&path, b"cat\rdog\rfo\xffx").unwrap();
    let message = read_labels(&path).unwrap_err().to_string();
    assert!(message.contains("line 3"), "{message}");
}

#[test]
fn duplicates_name_both_lines() {
    let error = parse_labels("labels.txt", "cat\n\ndog\n cat ".lines()).unwrap_err();
    assert!(
        matches!(&error, DataError::DuplicateLabel { label, first: 1, second: 4, .. } if label == "cat"),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "labels.txt: line 4 repeats \"cat\" of line 1: every line must differ, leave one out"
    );
    assert!(parse_labels("x", "cat\nCat".lines()).is_ok());
}

#[test]
fn empty_lists_and_broken_text_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.txt");
    assert!(matches!(read_labels(&path), Err(DataError::Missing(_))));
    for text in ["", "\n \n\t\n"] {
        std::fs::write(&path, text).unwrap();
        let message = read_labels(&path).unwrap_err().to_string();
        assert!(message.contains("labels.txt") && message.contains("the list is empty"), "{message}");
    }
    std::fs::write(&path, b"cat\ndog\nfo\xffx\n").unwrap();
    let message = read_labels(&path).unwrap_err().to_string();
    assert!(message.contains("line 3") && message.contains("UTF-8"), "{message}");
}
