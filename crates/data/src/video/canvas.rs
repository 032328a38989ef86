//! What the frames of an animation are laid over.

use crate::Rgba8Image;

/// Place and size of a frame on the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Area {
    /// Whether it lies on a canvas.
    pub fn is_inside(self, (width, height): (u32, u32)) -> bool {
        let inside = |start: u32, length: u32, end: u32| start.checked_add(length).is_some_and(|stop| stop <= end);
        inside(self.left, self.width, width) && inside(self.top, self.height, height)
    }
}

/// The canvas, which is made clear where there is none.
pub(super) fn made(canvas: &mut Option<Rgba8Image>, (width, height): (u32, u32)) -> &mut Rgba8Image {
    canvas.get_or_insert_with(|| Rgba8Image { width, height, data: vec![0; width as usize * height as usize * 4] })
}

/// The bytes of the rows of an area that lies on the canvas.
pub(super) fn rows(canvas: &mut Rgba8Image, area: Area) -> impl Iterator<Item = &mut [u8]> {
    let (from, to) = (area.left as usize * 4, (area.left + area.width) as usize * 4);
    let lines = canvas.data.chunks_exact_mut(canvas.width as usize * 4);
    lines.skip(area.top as usize).take(area.height as usize).map(move |line| &mut line[from..to])
}
