//! TwoRoom: a point agent, two rooms, a wall with one door. The rules and the picture are those of the environment of that name in
//! stable-worldmodel (`envs/two_room/env.py`), in its units: pixels of a square of 224, x to the right, y down, 32-bit floats.

mod geometry;
mod picture;

use serde::{Deserialize, Serialize};

use self::geometry::{AT_DOOR, DOOR_HALF, DOOR_MARGIN, INSIDE, NAME, PUSH_BACK, REACH, SIDE, SPAWN, WALL, ZONE};
use self::picture::Pictures;
use crate::error::{Result, WorldError};
use crate::random::Random;
use crate::world::{World, check_action, check_finite};

const RANGE: [(f32, f32); 2] = [(-1.0, 1.0); 2];
const NAMES: [&str; 2] = ["agent x (px)", "agent y (px)"];

/// Options of [`TwoRoom`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TwoRoomOptions {
    /// Length of a step of action 1, px: 1.75 to 10.5.
    pub speed: f32,
    /// Where the middle of the door is, px from the top: 28 to 196.
    pub door: f32,
    /// Whether [`World::reset`] draws the target in the other room than the agent, and outside of the zone of the wall. Off, it is
    /// drawn anywhere.
    pub cross_room: bool,
}

impl Default for TwoRoomOptions {
    fn default() -> Self {
        Self { speed: 5.0, door: 49.0, cross_room: false }
    }
}

impl TwoRoomOptions {
    fn check(&self) -> Result<()> {
        let least = 2.0 * DOOR_HALF;
        for (key, value, low, high) in
            [("speed", self.speed, 1.75, 10.5), ("door", self.door, least, SIDE as f32 - least)]
        {
            if !(low..=high).contains(&value) {
                let what = format!("{key} is {value}; {low} to {high} are possible");
                return Err(WorldError::Options { origin: NAME, what });
            }
        }
        Ok(())
    }
}

/// The world. State and goal: the agent's position (x, y). Action: a direction (x, y), each in -1..1, times the speed.
///
/// The picture shows the agent and never the target; the picture of the goal is the agent at the target. A picture of 224 × 224 has
/// the published values; one of another side is the mean of that picture over the area of each of its pixels, before it is cut to 8
/// bits, and rounded.
#[derive(Clone, Debug)]
pub struct TwoRoom {
    options: TwoRoomOptions,
    agent: [f32; 2],
    target: [f32; 2],
    pictures: Pictures,
}

impl TwoRoom {
    /// The world with the agent in the middle of the left room and the target in that of the right.
    ///
    /// # Errors
    /// Options outside of their range.
    pub fn new(options: TwoRoomOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { options, agent: [60.5, 112.0], target: [163.5, 112.0], pictures: Pictures::new(options.door) })
    }

    fn in_door(&self, y: f32) -> bool {
        let half = DOOR_HALF + DOOR_MARGIN;
        (self.options.door - half..=self.options.door + half).contains(&y)
    }

    /// Where a step leads from `from` that would lead to `to` if there were no walls.
    fn collide(&self, from: [f32; 2], to: [f32; 2]) -> [f32; 2] {
        let [x, y] = to.map(|v| v.clamp(INSIDE.0, INSIDE.1));
        if self.in_door(y) {
            return [x, y];
        }
        let left = from[0] < WALL;
        if left && x > ZONE.0 {
            [ZONE.0 - PUSH_BACK, y]
        } else if !left && x < ZONE.1 {
            [ZONE.1 + PUSH_BACK, y]
        } else {
            [x, y]
        }
    }

    /// A position of a state or a goal.
    fn position(&self, what: &str, values: &[f64], walls: bool) -> Result<[f32; 2]> {
        check_finite(NAME, what, NAMES.len(), values)?;
        let at = [values[0] as f32, values[1] as f32];
        let (low, high) = SPAWN;
        if at.iter().any(|v| !(low..=high).contains(v)) {
            let what = format!("{what} at ({}, {}); x and y lie in {low}..{high}", at[0], at[1]);
            return Err(WorldError::State { origin: NAME, what });
        }
        if walls && ZONE.0 < at[0] && at[0] < ZONE.1 && !self.in_door(at[1]) {
            let what = format!(
                "{what} at ({}, {}) is inside of the wall; keep x out of {}..{} or y near the door at {}",
                at[0], at[1], ZONE.0, ZONE.1, self.options.door
            );
            return Err(WorldError::State { origin: NAME, what });
        }
        Ok(at)
    }

    fn anywhere(random: &mut Random) -> [f32; 2] {
        [(); 2].map(|()| random.between(f64::from(SPAWN.0), f64::from(SPAWN.1)) as f32)
    }

    fn is_in_zone(at: [f32; 2]) -> bool {
        (ZONE.0..=ZONE.1).contains(&at[0])
    }
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    (x * x + y * y).sqrt()
}

impl World for TwoRoom {
    fn name(&self) -> &'static str {
        NAME
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn action_range(&self) -> &[(f32, f32)] {
        &RANGE
    }

    fn state_names(&self) -> &[&'static str] {
        &NAMES
    }

    fn state(&self) -> Vec<f64> {
        self.agent.map(f64::from).to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.agent = self.position("a state", state, true)?;
        Ok(())
    }

    fn goal(&self) -> Vec<f64> {
        self.target.map(f64::from).to_vec()
    }

    /// A goal may lie inside of the wall, as those that are drawn may: it is reached from beside it.
    fn set_goal(&mut self, goal: &[f64]) -> Result<()> {
        self.target = self.position("a goal", goal, false)?;
        Ok(())
    }

    fn reset(&mut self, random: &mut Random) {
        self.agent = Self::anywhere(random);
        while Self::is_in_zone(self.agent) {
            self.agent = Self::anywhere(random);
        }
        self.target = Self::anywhere(random);
        let same_room = |target: [f32; 2], agent: [f32; 2]| (target[0] < WALL) == (agent[0] < WALL);
        while self.options.cross_room && (same_room(self.target, self.agent) || Self::is_in_zone(self.target)) {
            self.target = Self::anywhere(random);
        }
    }

    fn step(&mut self, action: &[f32]) -> Result<bool> {
        let action = check_action(NAME, &RANGE, action)?;
        let to = [self.agent[0] + action[0] * self.options.speed, self.agent[1] + action[1] * self.options.speed];
        self.agent = self.collide(self.agent, to);
        Ok(self.reached())
    }

    fn reached(&self) -> bool {
        distance(self.agent, self.target) < REACH
    }

    /// The direction to the door, where the target is in the other room, and from 10.5 px before it on to the target.
    fn expert(&mut self, _random: &mut Random) -> Vec<f32> {
        let door = [WALL, self.options.door];
        let other_room = (self.agent[0] > WALL) != (self.target[0] > WALL);
        let to = if other_room && distance(self.agent, door) > AT_DOOR { door } else { self.target };
        let length = distance(self.agent, to);
        let unit = |i: usize| if length > 1e-8 { (to[i] - self.agent[i]) / length } else { 0.0 };
        vec![unit(0), unit(1)]
    }

    fn data_noise(&self) -> f32 {
        2.0
    }

    fn draw(&self, state: &[f64], side: usize, rgb: &mut [u8]) -> Result<()> {
        let at = self.position("a picture's state", state, false)?;
        self.pictures.draw(at, side, rgb)
    }

    fn fork(&self) -> Box<dyn World> {
        Box::new(self.clone())
    }
}
