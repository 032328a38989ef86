//! Clips as pictures.

use vljepa_data::sprite_world::{Scene, SpriteWorld};
use vljepa_data::{Rgb8Image, encode_jpeg};

use crate::error::Result;
use crate::html::{base64, escape};

/// The frames of a clip, `side` pixels high and wide.
pub(crate) fn frames(world: &SpriteWorld, scene: &Scene, side: usize) -> Result<Vec<Rgb8Image>> {
    let frame = |data: &[u8]| Ok(Rgb8Image::new(side as u32, side as u32, data.to_vec())?);
    world.render(scene, side).chunks_exact(side * side * 3).map(frame).collect()
}

/// The frames of a clip side by side, as an element of a page. `alt` is its text alternative.
pub(crate) fn element(strip: &Rgb8Image, class: &str, alt: &str) -> Result<String> {
    Ok(format!(
        "<span class=\"frames{class}\" role=\"img\" aria-label=\"{}\" style=\"aspect-ratio:{}/{};background-image:url(data:image/jpeg;base64,{})\"></span>\n",
        escape(alt),
        strip.width,
        strip.height,
        base64(&encode_jpeg(strip, 85)?)
    ))
}

/// Frames of one size side by side.
pub(crate) fn side_by_side(frames: &[Rgb8Image]) -> Result<Rgb8Image> {
    let Some(first) = frames.first() else { return Ok(Rgb8Image::new(1, 1, vec![0; 3])?) };
    let (width, height) = (first.width as usize, first.height as usize);
    let mut data = Vec::with_capacity(frames.len() * width * height * 3);
    for y in 0..height {
        frames.iter().for_each(|frame| data.extend(&frame.data[y * width * 3..(y + 1) * width * 3]));
    }
    Ok(Rgb8Image::new((frames.len() * width) as u32, first.height, data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_side_by_side() {
        let frame = |v: u8| Rgb8Image::new(2, 2, (0..12).map(|i| v + i).collect()).unwrap();
        let strip = side_by_side(&[frame(0), frame(100)]).unwrap();
        assert_eq!((strip.width, strip.height), (4, 2));
        let want = [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105, 6, 7, 8, 9, 10, 11, 106, 107, 108, 109, 110, 111];
        assert_eq!(strip.data, want);
    }
}
