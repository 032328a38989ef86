//! The picture of PushT, as gym-pusht and stable-worldmodel draw it: on 512 x 512 px with corners at whole pixels, then resized.

use super::canvas::{Canvas, Color, Pixel};
use super::collide::{AGENT_RADIUS, WALLS, disc_and_part, wall_and_part, wall_bounds};
use super::geometry::{Point, Polygon, Pose};

const WHITE: Color = 0xff_ff_ff;
const GOAL: Color = 0x90_ee_90;
const WALL: Color = 0xd3_d3_d3;
const AGENT: Color = 0x41_69_e1;
const AGENT_LIGHT: Color = 0x4e_7e_ff;
const BLOCK: Color = 0x77_88_99;
const BLOCK_LIGHT: Color = 0x8f_a3_b8;
const CONTACT: Color = 0xe7_4c_3c;

/// Half the thickness of outlines and walls, in px.
const LINE_RADIUS: f64 = 2.0;
/// Width of the agent's dark rim, in px.
const RIM: f64 = 4.0;

/// What a picture shows.
pub struct Scene {
    /// Centre of the agent.
    pub agent: Point,
    /// The block.
    pub block: Pose,
    /// Where a green T lies under all else.
    pub goal: Option<Pose>,
    /// Whether short red lines cross the contacts of the block, as in the published pictures.
    pub contacts: bool,
}

/// Draws a scene into `rgb`: (side, side, 3), 8 bits.
pub fn draw(scene: &Scene, side: usize, rgb: &mut [u8]) {
    let mut canvas = Canvas::new(side, WHITE);
    if let Some(goal) = &scene.goal {
        for part in goal.parts() {
            canvas.polygon(&part.vertices.map(pixel), GOAL);
        }
    }
    let parts = scene.block.parts();
    for part in &parts {
        canvas.polygon(&part.vertices.map(pixel), BLOCK_LIGHT);
        for i in 0..4 {
            thick_line(&mut canvas, part.vertices[i], part.vertices[(i + 1) % 4], BLOCK);
        }
    }
    canvas.disc(pixel(scene.agent), AGENT_RADIUS as i64, AGENT);
    canvas.disc(pixel(scene.agent), (AGENT_RADIUS - RIM) as i64, AGENT_LIGHT);
    for [from, to] in WALLS {
        thick_line(&mut canvas, from, to, WALL);
    }
    if scene.contacts {
        draw_contacts(&mut canvas, scene.agent, &parts);
    }
    canvas.resize(rgb);
}

/// A line with round ends: a band, a parallelogram whose offsets forget their signs, and two discs.
fn thick_line(canvas: &mut Canvas, from: Point, to: Point, color: Color) {
    let (from, to) = (pixel(from), pixel(to));
    canvas.line(from, to, color);
    let (dx, dy) = ((to.0 - from.0).abs() as f64, (to.1 - from.1).abs() as f64);
    let length = dx.hypot(dy);
    if length == 0.0 {
        return;
    }
    let across =
        ((dy * LINE_RADIUS / length).round_ties_even() as i64, (dx * LINE_RADIUS / length).round_ties_even() as i64);
    let corners = [
        (from.0 - across.0, from.1 - across.1),
        (from.0 + across.0, from.1 + across.1),
        (to.0 + across.0, to.1 + across.1),
        (to.0 - across.0, to.1 - across.1),
    ];
    canvas.polygon(&corners, color);
    canvas.disc(from, LINE_RADIUS as i64, color);
    canvas.disc(to, LINE_RADIUS as i64, color);
}

fn draw_contacts(canvas: &mut Canvas, agent: Point, parts: &[Polygon; 2]) {
    for part in parts {
        let walls = (0..WALLS.len())
            .filter(|wall| wall_bounds(*wall).meets(&part.bounds()))
            .map(|wall| wall_and_part(wall, part));
        for touches in std::iter::once(disc_and_part(agent, part)).chain(walls) {
            for touch in touches.list() {
                let (from, to) = (touch.first - touches.normal * 2.0, touch.second + touches.normal * 2.0);
                canvas.thin_line(pixel(from), pixel(to), CONTACT);
            }
        }
    }
}

/// The pixel of a place; halves to even, as Python rounds.
fn pixel(place: Point) -> Pixel {
    (place.x.round_ties_even() as i64, place.y.round_ties_even() as i64)
}
