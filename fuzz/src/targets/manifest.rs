//! Manifests of pictures and clips.

use std::path::Path;

use vljepa_data::manifest::Manifest;

use crate::error::Result;
use crate::mutate::Shape;
use crate::target::{Case, Target};

const LINES: &str = "{\"visual\": \"a.png\", \"targets\": [\"a cat\", \"a pet\"], \"weight\": 0.5, \"split\": \"validation\"}\n\
    {\"visual\": \"b/c.mp4\", \"start\": 1.5, \"end\": 3, \"query\": \"what is it?\", \"target\": \"a dog\"}\r\n";
const TABLE: &str = "visual,start,end,query,targets,weight,split\na.png,,,,a cat|a pet,0.5,validation\n\
    b/c.mp4,1.5,3,\"what, then?\",\"a \"\"dog\"\"\",,\n";

/// Writes each input under `name` and reads it as a manifest.
fn case(folder: &Path, name: &str) -> Result<Case> {
    let path = folder.join(name);
    Ok(Box::new(move |input| {
        if std::fs::write(&path, input).is_ok() {
            let _ = Manifest::open(&path);
        }
    }))
}

pub const JSON_LINES: Target = Target {
    name: "manifest",
    about: "a manifest of JSON lines",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || Ok(vec![LINES.into(), LINES.lines().next().unwrap_or_default().into()]),
    make: |folder| case(folder, "a.jsonl"),
};

pub const CSV: Target = Target {
    name: "table",
    about: "a manifest in CSV",
    shape: Shape::Bytes,
    megabytes: 64,
    seeds: || Ok(vec![TABLE.into()]),
    make: |folder| case(folder, "a.csv"),
};

pub const SHARD: Target = Target {
    name: "shard",
    about: "a WebDataset shard, and its media where they lie",
    shape: Shape::Bytes,
    megabytes: 128,
    seeds: || {
        let entry = |name: &str, kind: u8, bytes: &[u8]| {
            let mut header = vec![0_u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[100..108].copy_from_slice(b"0000644\0");
            header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
            header[156] = kind;
            header[257..265].copy_from_slice(b"ustar\x0000");
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            header.extend(bytes);
            header.resize(header.len().next_multiple_of(512), 0);
            header
        };
        let film = b"YUV4MPEG2 W2 H2 F10:1 Cmono\nFRAME\n1234FRAME\n5678";
        let parts = [
            entry("a.y4m", b'0', film),
            entry("a.json", b'0', b"{\"target\": \"grey\", \"end\": 0.1}"),
            entry("././@LongLink", b'L', b"folder/b.y4m\0"),
            entry("b.y4m", b'0', film),
            entry("pax", b'x', b"23 path=folder/b.json\n\n"),
            entry("b.json", b'0', b"{\"targets\": [\"grey\", \"dark\"]}"),
            vec![0; 1024],
        ];
        Ok(vec![parts.concat()])
    },
    make: |folder| {
        let path = folder.join("a.tar");
        Ok(Box::new(move |input| {
            if std::fs::write(&path, input).is_err() {
                return;
            }
            let options = vljepa_data::video::VideoOptions { ffmpeg: None, ..Default::default() };
            let to = vljepa_data::Preprocess::square(8);
            for row in Manifest::open(&path).iter().flat_map(Manifest::rows).take(4) {
                let _ = row.numbers(2, &to, &options);
            }
        }))
    },
};
