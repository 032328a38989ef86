//! The physics of PushT: one body, the block, pushed by the agent's disc and the walls.
//!
//! This is what Chipmunk 7 does for gym-pusht's space, so that episodes equal those of pymunk: positions first, then contacts, then ten rounds of sequential
//! impulses with warm start; penetration is taken out by velocities of their own that last one step. There is neither friction nor
//! elasticity, and damping 0 takes the block's velocity before impulses give it a new one, so that it moves only while it is pushed.

use super::collide::{AGENT_RADIUS, Touches, WALLS, disc_and_part, wall_and_part, wall_bounds};
use super::geometry::{Bounds, PARTS, Point, Polygon, Pose};
use super::order::{AGENT, Order, PAIRS, Pairs};

/// Seconds of a physics step.
pub const STEP: f64 = 0.01;

/// How far a relative action of 1 asks the agent to go, px.
pub const REACH: f64 = 100.0;
/// Physics steps of an action, at 10 Hz.
const STEPS_OF_CONTROL: usize = 10;
/// Acceleration toward the target, in 1/s².
const STIFFNESS: f64 = 100.0;
/// Acceleration against the agent's velocity, in 1/s.
const DAMPING: f64 = 20.0;

/// The block's centre of gravity in its own coordinates, in px: the mean of its parts' centroids, which is not that of its area.
pub const CENTER: Point = Point::new(0.0, 45.0);

/// One over the block's mass.
const INVERSE_MASS: f64 = 1.0;
/// One over its moment: twice that of the bar about the block's origin, as the environment was published.
const INVERSE_MOMENT: f64 = 1.0 / 3000.0;

const ROUNDS: usize = 10;
/// Penetration that is left alone, in px; a single-precision constant there.
const SLOP: f64 = 0.1_f32 as f64;
/// Share of the penetration that is left after a second: to the power of 60, of a single-precision base.
const LEFT: f64 = 0.9_f32 as f64;
/// Steps for which impulses of a lost contact are kept.
const PERSISTENCE: u64 = 3;

#[derive(Clone, Copy, Debug)]
struct Block {
    /// Place of the centre of gravity.
    center: Point,
    angle: f64,
    /// Direction of the angle.
    turn: Point,
    velocity: Point,
    spin: f64,
    /// Velocities that take out penetration.
    bias_velocity: Point,
    bias_spin: f64,
}

impl Block {
    fn origin(&self) -> Point {
        self.center - CENTER.rotated(self.turn)
    }

    fn push(&mut self, at: Point, impulse: Point) {
        self.velocity += impulse * INVERSE_MASS;
        self.spin += INVERSE_MOMENT * at.cross(impulse);
    }

    fn push_bias(&mut self, at: Point, impulse: Point) {
        self.bias_velocity += impulse * INVERSE_MASS;
        self.bias_spin += INVERSE_MOMENT * at.cross(impulse);
    }
}

/// A contact and what it has pushed so far.
#[derive(Clone, Copy, Debug, Default)]
struct Contact {
    /// From the agent's centre, or the room's origin for a wall.
    first: Point,
    /// From the block's centre of gravity.
    second: Point,
    feature: u8,
    /// Impulse along the normal; what it starts from in the next step.
    impulse: f64,
    bias_impulse: f64,
    /// Velocity at which penetration is taken out.
    bias: f64,
    /// Mass that the contact feels along the normal.
    mass: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Touching, and not in the step before: starts without the impulses of before.
    First,
    Normal,
    /// Kept for a while after it was lost.
    Cached,
}

/// The contacts of a pair.
#[derive(Clone, Copy, Debug)]
struct Arbiter {
    normal: Point,
    contacts: [Contact; 2],
    count: usize,
    state: State,
    /// The last step in which the pair touched.
    stamp: u64,
}

impl Arbiter {
    const NONE: Self = Self {
        normal: Point::ZERO,
        contacts: [Contact {
            first: Point::ZERO,
            second: Point::ZERO,
            feature: 0,
            impulse: 0.0,
            bias_impulse: 0.0,
            bias: 0.0,
            mass: 0.0,
        }; 2],
        count: 0,
        state: State::First,
        stamp: 0,
    };
}

/// The space: agent, block, and contacts that last.
#[derive(Clone, Debug)]
pub struct Solver {
    agent: Point,
    agent_velocity: Point,
    block: Block,
    order: Order,
    arbiters: [Arbiter; PAIRS],
    /// The pairs that touched in the last step, in the order in which they push.
    touching: Pairs,
    stamp: u64,
}

impl Solver {
    /// The space as gym-pusht builds it: the block at (256, 300) and the agent at (256, 400), at rest. Where shapes are put in decides
    /// on the order of later contacts: stable-worldmodel puts them elsewhere, and a few episodes of a hundred then part.
    pub fn new() -> Self {
        let turn = Point::direction(0.0);
        let block = Block {
            center: Point::new(256.0, 300.0) + CENTER.rotated(turn),
            angle: 0.0,
            turn,
            velocity: Point::ZERO,
            spin: 0.0,
            bias_velocity: Point::ZERO,
            bias_spin: 0.0,
        };
        let agent = Point::new(256.0, 400.0);
        let order = Order::new(bounds(agent, &parts(&block)));
        Self {
            agent,
            agent_velocity: Point::ZERO,
            block,
            order,
            arbiters: [Arbiter::NONE; PAIRS],
            touching: Pairs::default(),
            stamp: 0,
        }
    }

    /// Centre of the agent.
    pub fn agent(&self) -> Point {
        self.agent
    }

    /// Velocity of the agent, in px/s.
    pub fn agent_velocity(&self) -> Point {
        self.agent_velocity
    }

    /// The block's origin and its angle, which is not wrapped.
    pub fn block(&self) -> Pose {
        Pose { origin: self.block.origin(), angle: self.block.angle }
    }

    /// Puts the agent to a place, with a velocity.
    pub fn set_agent(&mut self, place: Point, velocity: Point) {
        (self.agent, self.agent_velocity) = (place, velocity);
    }

    /// Turns the block about its centre of gravity.
    pub fn set_block_angle(&mut self, angle: f64) {
        self.block.angle = angle;
        self.block.turn = Point::direction(angle);
    }

    /// Moves the block's origin to a place, at the angle that it has.
    pub fn set_block_origin(&mut self, origin: Point) {
        self.block.center = CENTER.rotated(self.block.turn) + origin;
    }

    /// The pairs that touched in the last step, as bits: 0 and 1 the agent with bar and stem, 2 + w wall w with the bar, 6 + w
    /// with the stem.
    pub fn touching(&self) -> u16 {
        self.touching.iter().fold(0, |bits, pair| bits | (1 << pair))
    }

    /// A tenth of a second in which the agent is drawn to a place: ten steps, each after a new velocity.
    pub fn drive(&mut self, target: Point) {
        for _ in 0..STEPS_OF_CONTROL {
            let acceleration = (target - self.agent) * STIFFNESS + (Point::ZERO - self.agent_velocity) * DAMPING;
            self.agent_velocity += acceleration * STEP;
            self.step();
        }
    }

    /// One step of [`STEP`] seconds.
    pub fn step(&mut self) {
        self.stamp += 1;
        for pair in self.touching.iter() {
            self.arbiters[pair].state = State::Normal;
        }
        self.agent += self.agent_velocity * STEP;
        let block = &mut self.block;
        block.center += (block.velocity + block.bias_velocity) * STEP;
        let angle = block.angle + (block.spin + block.bias_spin) * STEP;
        (block.angle, block.turn) = (angle, Point::direction(angle));
        (block.bias_velocity, block.bias_spin) = (Point::ZERO, 0.0);

        self.find_contacts();
        for arbiter in &mut self.arbiters {
            let ticks = self.stamp - arbiter.stamp;
            if ticks >= 1 {
                arbiter.state = State::Cached;
            }
            if ticks >= PERSISTENCE {
                *arbiter = Arbiter { stamp: arbiter.stamp, ..Arbiter::NONE };
            }
        }
        self.prepare();
        self.solve();
    }

    /// Which pairs touch, and where; contacts of before hand their impulses on.
    fn find_contacts(&mut self) {
        let parts = parts(&self.block);
        let bounds = bounds(self.agent, &parts);
        let velocities = [self.block.velocity, self.block.velocity, self.agent_velocity];
        self.touching = Pairs::default();
        for pair in self.order.update(&bounds, &velocities).iter() {
            let (part, wall) = sides(pair);
            let other = wall.map_or(bounds[AGENT], wall_bounds);
            if !bounds[part].meets(&other) {
                continue;
            }
            let touches = match wall {
                None => disc_and_part(self.agent, &parts[part]),
                Some(wall) => wall_and_part(wall, &parts[part]),
            };
            if !touches.list().is_empty() {
                let first = if wall.is_some() { Point::ZERO } else { self.agent };
                self.refresh(pair, &touches, first);
                self.touching.push(pair);
            }
        }
    }

    fn refresh(&mut self, pair: usize, touches: &Touches, first: Point) {
        let arbiter = &mut self.arbiters[pair];
        let before = *arbiter;
        arbiter.normal = touches.normal;
        arbiter.count = touches.list().len();
        arbiter.stamp = self.stamp;
        for (contact, touch) in arbiter.contacts.iter_mut().zip(touches.list()) {
            let kept = before.contacts[..before.count].iter().rev().find(|old| old.feature == touch.feature);
            *contact = Contact {
                first: touch.first - first,
                second: touch.second - self.block.center,
                feature: touch.feature,
                impulse: kept.map_or(0.0, |old| old.impulse),
                ..Contact::default()
            };
        }
        if arbiter.state == State::Cached {
            arbiter.state = State::First;
        }
    }

    /// What contacts start from: masses, and velocities against penetration.
    fn prepare(&mut self) {
        let share = 1.0 - LEFT.powf(60.0).powf(STEP);
        for pair in self.touching.iter() {
            let arbiter = &mut self.arbiters[pair];
            let first = if sides(pair).1.is_some() { Point::ZERO } else { self.agent };
            let delta = self.block.center - first;
            for contact in &mut arbiter.contacts[..arbiter.count] {
                let lever = contact.second.cross(arbiter.normal);
                contact.mass = 1.0 / (INVERSE_MASS + INVERSE_MOMENT * lever * lever);
                let distance = (contact.second - contact.first + delta).dot(arbiter.normal);
                contact.bias = -share * (distance + SLOP).min(0.0) / STEP;
                contact.bias_impulse = 0.0;
            }
        }
    }

    /// Gives the block the velocities at which nothing approaches: impulses of before, then rounds of corrections.
    fn solve(&mut self) {
        let block = &mut self.block;
        (block.velocity, block.spin) = (Point::ZERO, 0.0);
        if self.stamp > 1 {
            for pair in self.touching.iter() {
                let arbiter = &self.arbiters[pair];
                if arbiter.state != State::First {
                    for contact in &arbiter.contacts[..arbiter.count] {
                        block.push(contact.second, arbiter.normal * contact.impulse);
                    }
                }
            }
        }
        for _ in 0..ROUNDS {
            for pair in self.touching.iter() {
                let arbiter = &mut self.arbiters[pair];
                let (normal, count) = (arbiter.normal, arbiter.count);
                let other = if sides(pair).1.is_some() { Point::ZERO } else { self.agent_velocity };
                for contact in &mut arbiter.contacts[..count] {
                    let arm = contact.second;
                    let bias_approach = (block.bias_velocity + arm.turned() * block.bias_spin).dot(normal);
                    let approach = (block.velocity + arm.turned() * block.spin - other).dot(normal);

                    let bias_before = contact.bias_impulse;
                    contact.bias_impulse = (bias_before + (contact.bias - bias_approach) * contact.mass).max(0.0);
                    let before = contact.impulse;
                    contact.impulse = (before - approach * contact.mass).max(0.0);

                    block.push_bias(arm, normal * (contact.bias_impulse - bias_before));
                    block.push(arm, normal * (contact.impulse - before));
                }
            }
        }
    }
}

impl Default for Solver {
    fn default() -> Self {
        Self::new()
    }
}

/// The part of the block and, unless it is with the agent, the wall of a pair.
fn sides(pair: usize) -> (usize, Option<usize>) {
    match pair {
        0 | 1 => (pair, None),
        _ => ((pair - 2) / WALLS.len(), Some((pair - 2) % WALLS.len())),
    }
}

fn parts(block: &Block) -> [Polygon; 2] {
    let origin = block.origin();
    PARTS.map(|part| Polygon::new(part, origin, block.turn))
}

/// Boxes of the moving shapes: bar, stem, agent.
fn bounds(agent: Point, parts: &[Polygon; 2]) -> [Bounds; 3] {
    [parts[0].bounds(), parts[1].bounds(), Bounds::around(&[agent], AGENT_RADIUS)]
}
