//! Picture files through the compact model: read, decoded, scaled, encoded, one unit row each.

use std::path::PathBuf;
use std::process::ExitCode;

use vljepa::embed::Model;
use vljepa_benches::harness::noise;
use vljepa_benches::{Case, Error, Harness, Result, Work, shapes};
use vljepa_data::{Rgb8Image, Rgba8Image, encode_jpeg, encode_png};
use vljepa_tensor::Device;

/// The compact model, and a folder of pictures that is removed in the end.
struct Files {
    model: Model,
    files: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Files {
    fn new(device: &Device, count: usize, side: u32) -> Result<Self> {
        let model = Model::load(device, &vljepa::Builtin::Compact.open()?).map_err(vljepa::Error::from)?;
        let folder = tempfile::tempdir().map_err(written)?;
        let files = (0..count).map(|number| {
            let path = folder.path().join(format!("{number}.{}", ["png", "jpg"][number % 2]));
            std::fs::write(&path, picture(number, side)?).map_err(written)?;
            Ok(path)
        });
        Ok(Self { model, files: files.collect::<Result<_>>()?, _folder: folder })
    }

    fn embed(&self) -> Result<()> {
        self.model.embed_files(&self.files, None).map_err(vljepa::Error::from)?;
        Ok(())
    }
}

fn written(source: std::io::Error) -> Error {
    Error::Write { path: "a picture".to_owned(), source }
}

/// A file with soft noise: PNG and JPEG in turn.
fn picture(number: usize, side: u32) -> Result<Vec<u8>> {
    let coarse = noise(number, 16 * 16 * 3);
    let value = |x: u32, y: u32, c: usize| {
        let cell = (y * 16 / side * 16 + x * 16 / side) as usize * 3 + c;
        (127.5 + 127.5 * coarse[cell]) as u8
    };
    let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
    if number.is_multiple_of(2) {
        let data = pixels.flat_map(|(x, y)| [value(x, y, 0), value(x, y, 1), value(x, y, 2), 255]).collect();
        return Ok(encode_png(&Rgba8Image::new(side, side, data)?)?);
    }
    let data = pixels.flat_map(|(x, y)| [value(x, y, 0), value(x, y, 1), value(x, y, 2)]).collect();
    Ok(encode_jpeg(&Rgb8Image::new(side, side, data)?, 90)?)
}

fn main() -> ExitCode {
    let mut harness = Harness::new("embed");
    let small = harness.small();
    for (name, side) in [("icons", 72), ("photos", 1024)] {
        let (count, side) = if small { (2, side.min(128)) } else { (64, side) };
        let case = Case {
            name: name.to_owned(),
            shape: shapes::text(&[count, side as usize, side as usize]),
            work: Work::Items(count as f64),
        };
        harness.case(case, |device| Files::new(device, count, side), |_, files, _| files.embed());
    }
    harness.finish()
}
