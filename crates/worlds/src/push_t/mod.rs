//! PushT: an agent, a disc, pushes a T-shaped block to a pose. The physics, the state and the picture are those of the environment of
//! that name in gym-pusht and stable-worldmodel (`envs/pusht/env.py`), in their units: pixels of a square of 512, x to the right,
//! y down.

mod canvas;
mod collide;
mod expert;
mod geometry;
mod order;
mod render;
mod roads;
mod solver;

use serde::{Deserialize, Serialize};

use self::expert::{Pusher, Task};
use self::geometry::{Point, Pose, SIDE, angle_between, coverage};
use self::render::Scene;
use self::solver::{REACH, Solver};
use crate::error::{Result, WorldError};
use crate::random::Random;
use crate::world::{World, check_action, check_finite, check_picture};

const NAME: &str = "push-t";
const RELATIVE: [(f32, f32); 2] = [(-1.0, 1.0); 2];
const ABSOLUTE: [(f32, f32); 2] = [(0.0, SIDE as f32); 2];
const NAMES: [&str; 7] = [
    "agent x (px)",
    "agent y (px)",
    "block x (px)",
    "block y (px)",
    "block angle (rad)",
    "agent velocity x (px/s)",
    "agent velocity y (px/s)",
];

/// Where the agent starts, px.
const AGENT_SPAWN: (f64, f64) = (50.0, 450.0);
/// Where the block's origin starts, px.
const BLOCK_SPAWN: (f64, f64) = (100.0, 400.0);
/// The goal is reached below this distance of agent and block together, px.
const NEAR: f64 = 20.0;
/// And below this angle.
const NEAR_ANGLE: f64 = std::f64::consts::PI / 9.0;
/// Or, by the other rule, above this share of the goal's area.
const COVERED: f64 = 0.95;
/// Positions and velocities beyond it are refused; nothing gets there by itself in a hundred thousand steps.
const FAR: f64 = 1e7;
/// Standard deviation of the data policy's noise, in 100 px.
const NOISE: f32 = 0.2;
/// The weak policy keeps its targets within this distance of the block's origin, along each axis, px.
const AROUND: f64 = 100.0;

/// What an action says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTAction {
    /// Where to go from where the agent is, in 100 px: -1..1. stable-worldmodel and DINO-WM.
    #[default]
    Relative,
    /// A place to go to, px: 0..512. gym-pusht.
    Absolute,
}

/// In which order a state is set: turning the block about its centre of gravity moves its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTOrder {
    /// The angle, then the position: the block is where the state says. stable-worldmodel.
    #[default]
    AngleFirst,
    /// The position, then the angle: the origin ends elsewhere. gym-pusht, and older data of others.
    PositionFirst,
}

/// When a goal is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTSuccess {
    /// (agent x, y, block x, y) less than 20 px from the goal's, and the angle less than 20°. stable-worldmodel and DINO-WM.
    #[default]
    State,
    /// As `State`, of the block alone.
    Block,
    /// The block covers more than 95 % of the T at the goal. gym-pusht.
    Coverage,
}

/// Who makes trajectories for training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTData {
    /// The directed pusher with noise: it solves nearly every episode.
    #[default]
    Directed,
    /// [`PushT::weak`], which hardly ever does.
    Weak,
}

/// Options of [`PushT`]. The defaults are stable-worldmodel's; [`PushTOptions::gym`] are gym-pusht's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushTOptions {
    /// What an action says.
    pub action: PushTAction,
    /// In which order a state is set.
    pub order: PushTOrder,
    /// When a goal is reached.
    pub success: PushTSuccess,
    /// Who makes trajectories for training.
    pub data: PushTData,
    /// Whether a green T is drawn.
    pub target: bool,
    /// Where it is drawn: (x, y, angle). In the published pictures it does not move with the goal.
    pub target_pose: [f64; 3],
    /// Whether short red lines are drawn where the block touches something, as in the published pictures.
    pub contacts: bool,
}

impl Default for PushTOptions {
    fn default() -> Self {
        Self {
            action: PushTAction::Relative,
            order: PushTOrder::AngleFirst,
            success: PushTSuccess::State,
            data: PushTData::Directed,
            target: true,
            target_pose: [256.0, 256.0, std::f64::consts::FRAC_PI_4],
            contacts: true,
        }
    }
}

impl PushTOptions {
    /// The options of gym-pusht, whose goal is the green T.
    pub fn gym() -> Self {
        Self {
            action: PushTAction::Absolute,
            order: PushTOrder::PositionFirst,
            success: PushTSuccess::Coverage,
            ..Self::default()
        }
    }
}

/// The world. State and goal: the agent's position, the block's origin (the middle of the bar's outer edge), its angle, the agent's
/// velocity. An action takes a tenth of a second, in ten steps of physics; the block moves only while it is pushed.
///
/// Setting a state builds the space anew and takes one physics step, as the environments do: the agent moves on for 0.01 s at its
/// velocity, and what it overlaps begins to move. [`World::fork`] copies what a state does not say, the impulses of contacts that last.
#[derive(Clone, Debug)]
pub struct PushT {
    options: PushTOptions,
    solver: Solver,
    goal: [f64; 7],
    pusher: Pusher,
}

impl PushT {
    /// The world with the agent at (256, 400), the block at (256, 300) and the goal at the green T.
    ///
    /// # Errors
    /// A pose of the green T that is not finite.
    pub fn new(options: PushTOptions) -> Result<Self> {
        check_finite(NAME, "the target's pose", 3, &options.target_pose)?;
        let [x, y, angle] = options.target_pose;
        let goal = [256.0, 400.0, x, y, angle, 0.0, 0.0];
        Ok(Self { options, solver: Solver::new(), goal, pusher: Pusher::new() })
    }

    /// Share of the T at the goal that the block covers: 0 to 1.
    pub fn coverage(&self) -> f64 {
        coverage(&self.solver.block(), &pose(&self.goal))
    }

    /// Distance of the block's origin from the goal's in px, and the difference of their angles in radians.
    pub fn block_error(&self) -> (f64, f64) {
        let (block, goal) = (self.solver.block(), pose(&self.goal));
        ((block.origin - goal.origin).length(), angle_between(block.angle, goal.angle))
    }

    /// Which shapes pushed the block in the last physics step, as bits: 0 and 1 the agent at bar and stem, 2 + w wall w at the bar,
    /// 6 + w at the stem; walls are left, top, right, bottom.
    pub fn contacts(&self) -> u16 {
        self.solver.touching()
    }

    /// The policy of stable-worldmodel's collection script: uniform actions of which the target is kept within 100 px of the block's
    /// origin, along each axis.
    pub fn weak(&self, random: &mut Random) -> Vec<f32> {
        let (agent, block) = (self.solver.agent(), self.solver.block().origin);
        let mut target =
            |agent: f64, block: f64| (agent + random.between(-REACH, REACH)).clamp(block - AROUND, block + AROUND);
        let target = Point::new(target(agent.x, block.x), target(agent.y, block.y));
        self.action_to(target)
    }

    /// The action that draws the agent to a place.
    fn action_to(&self, target: Point) -> Vec<f32> {
        let (asked, range) = match self.options.action {
            PushTAction::Relative => ((target - self.solver.agent()) * (1.0 / REACH), RELATIVE),
            PushTAction::Absolute => (target, ABSOLUTE),
        };
        [asked.x, asked.y].iter().zip(range).map(|(value, (low, high))| (*value as f32).clamp(low, high)).collect()
    }

    fn checked(&self, what: &str, state: &[f64]) -> Result<[f64; 7]> {
        check_finite(NAME, what, NAMES.len(), state)?;
        if let Some((name, value)) = NAMES.iter().zip(state).find(|(_, value)| value.abs() > FAR) {
            let what = format!("{what} has {name} {value}; at most {FAR:e} is possible, a room has a side of {SIDE}");
            return Err(WorldError::State { origin: NAME, what });
        }
        let mut checked = [0.0; 7];
        checked.copy_from_slice(state);
        Ok(checked)
    }

    /// The space after a state was set.
    fn settled(&self, state: &[f64; 7]) -> Solver {
        let mut solver = Solver::new();
        solver.set_agent(Point::new(state[0], state[1]), Point::new(state[5], state[6]));
        let block = pose(state);
        match self.options.order {
            PushTOrder::AngleFirst => {
                solver.set_block_angle(block.angle);
                solver.set_block_origin(block.origin);
            }
            PushTOrder::PositionFirst => {
                solver.set_block_origin(block.origin);
                solver.set_block_angle(block.angle);
            }
        }
        solver.step();
        solver
    }

    /// A state as episodes begin.
    fn drawn(random: &mut Random) -> [f64; 7] {
        let mut between = |(low, high)| random.between(low, high);
        let agent = [between(AGENT_SPAWN), between(AGENT_SPAWN)];
        let block = [between(BLOCK_SPAWN), between(BLOCK_SPAWN)];
        let turn = std::f64::consts::TAU;
        [agent[0], agent[1], block[0], block[1], between((-turn, turn)), 0.0, 0.0]
    }
}

/// The block's pose in a state.
fn pose(state: &[f64; 7]) -> Pose {
    Pose::new(state[2], state[3], state[4])
}

/// Whether a state can be reached: the block inside of the walls, the agent outside of the block.
fn is_free(state: &[f64; 7]) -> bool {
    let parts = pose(state).parts();
    let agent = Point::new(state[0], state[1]);
    let (low, high) = (5.0 + collide::WALL_RADIUS, 506.0 - collide::WALL_RADIUS);
    let inside = |p: &Point| (low..=high).contains(&p.x) && (low..=high).contains(&p.y);
    parts.iter().all(|part| part.vertices.iter().all(inside) && part.distance(agent) > collide::AGENT_RADIUS)
}

impl World for PushT {
    fn name(&self) -> &'static str {
        NAME
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn action_range(&self) -> &[(f32, f32)] {
        match self.options.action {
            PushTAction::Relative => &RELATIVE,
            PushTAction::Absolute => &ABSOLUTE,
        }
    }

    fn state_names(&self) -> &[&'static str] {
        &NAMES
    }

    fn state(&self) -> Vec<f64> {
        let (agent, velocity, block) = (self.solver.agent(), self.solver.agent_velocity(), self.solver.block());
        let angle = block.angle.rem_euclid(std::f64::consts::TAU);
        vec![agent.x, agent.y, block.origin.x, block.origin.y, angle, velocity.x, velocity.y]
    }

    /// The block may overlap a wall or the agent, and be outside of the walls: what overlaps is pushed apart, step by step.
    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        let state = self.checked("a state", state)?;
        self.solver = self.settled(&state);
        self.pusher.forget();
        Ok(())
    }

    fn goal(&self) -> Vec<f64> {
        self.goal.to_vec()
    }

    fn set_goal(&mut self, goal: &[f64]) -> Result<()> {
        self.goal = self.checked("a goal", goal)?;
        self.pusher.forget();
        Ok(())
    }

    /// The agent in 50..450, the block's origin in 100..400 and its angle in ±2π, as published: they may overlap, and the block the
    /// walls. The goal likewise, redrawn until it can be reached; by the rule of coverage, it stays.
    fn reset(&mut self, random: &mut Random) {
        if self.options.success != PushTSuccess::Coverage {
            self.goal = Self::drawn(random);
            while !is_free(&self.goal) {
                self.goal = Self::drawn(random);
            }
        }
        self.solver = self.settled(&Self::drawn(random));
        self.pusher.forget();
    }

    fn step(&mut self, action: &[f32]) -> Result<bool> {
        let action = check_action(NAME, self.action_range(), action)?;
        let asked = Point::new(f64::from(action[0]), f64::from(action[1]));
        let target = match self.options.action {
            PushTAction::Relative => self.solver.agent() + asked * REACH,
            PushTAction::Absolute => asked,
        };
        self.solver.drive(target);
        Ok(self.reached())
    }

    fn reached(&self) -> bool {
        let (distance, angle) = self.block_error();
        match self.options.success {
            PushTSuccess::State => {
                let agent = self.solver.agent() - Point::new(self.goal[0], self.goal[1]);
                agent.length().hypot(distance) < NEAR && angle < NEAR_ANGLE
            }
            PushTSuccess::Block => distance < NEAR && angle < NEAR_ANGLE,
            PushTSuccess::Coverage => self.coverage() > COVERED,
        }
    }

    /// A directed pusher: it looks in the solver for pushes that bring the block nearer to the goal, goes around the block to where
    /// a push begins, and at last to where the goal has the agent.
    fn expert(&mut self, _random: &mut Random) -> Vec<f32> {
        let goal = pose(&self.goal);
        let place = Point::new(self.goal[0], self.goal[1]);
        let task = match self.options.success {
            PushTSuccess::State => Task { goal, agent: Some(place), near: 4.0 },
            PushTSuccess::Block => Task { goal, agent: None, near: 4.0 },
            PushTSuccess::Coverage => Task { goal, agent: None, near: 0.6 },
        };
        let target = self.pusher.target(&self.solver, &task);
        self.action_to(target)
    }

    fn data_noise(&self) -> f32 {
        match self.options.action {
            PushTAction::Relative => NOISE,
            PushTAction::Absolute => NOISE * REACH as f32,
        }
    }

    fn data_action(&mut self, random: &mut Random) -> Vec<f32> {
        if self.options.data == PushTData::Weak {
            return self.weak(random);
        }
        let (action, noise) = (self.expert(random), self.data_noise());
        let noisy =
            |(value, (low, high)): (f32, &(f32, f32))| (value + noise * random.normal() as f32).clamp(*low, *high);
        action.into_iter().zip(self.action_range()).map(noisy).collect()
    }

    fn draw(&self, state: &[f64], side: usize, rgb: &mut [u8]) -> Result<()> {
        let state = self.checked("a picture's state", state)?;
        check_picture(NAME, side, rgb)?;
        let [x, y, angle] = self.options.target_pose;
        let scene = Scene {
            agent: Point::new(state[0], state[1]),
            block: pose(&state),
            goal: self.options.target.then_some(Pose::new(x, y, angle)),
            contacts: self.options.contacts,
        };
        render::draw(&scene, side, rgb);
        Ok(())
    }

    fn fork(&self) -> Box<dyn World> {
        Box::new(self.clone())
    }
}
