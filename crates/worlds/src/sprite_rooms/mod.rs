//! Sprite Rooms: an agent among walls that pushes things and carries them, all of them drawings. A goal is a picture, or a fact that a
//! sentence says.

mod expert;
mod fact;
mod geometry;
mod picture;
mod route;
mod scene;
mod sprite;
mod tasks;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::expert::Memory;
use self::fact::CODE;
pub use self::fact::{Corner, Fact, Who};
use self::geometry::{NAME, Wall};
use self::scene::{Body, HEAD, MAX_THINGS, NAMES, Scene};
pub use self::sprite::Sprite;
use self::sprite::{Summed, fingerprint, shapes};
use self::tasks::TRIES;
pub use self::tasks::Task;
use crate::error::{Result, WorldError};
use crate::random::Random;
use crate::world::{World, check_action, check_finite};

const RANGE: [(f32, f32); 3] = [(-1.0, 1.0); 3];
/// What the plain shapes are called in the options.
const SHAPES: &str = "shapes";
/// How often the data policy opens or closes its grip where the expert would not.
const SLIPS: f64 = 0.05;

/// Options of [`SpriteRooms`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpriteRoomsOptions {
    /// Things: 1 or 2.
    pub things: usize,
    /// The kinds of goals that episodes have, each as often.
    pub tasks: Vec<Task>,
    /// Share of episodes with a wall between two rooms.
    pub wall_share: f64,
    /// Standard deviation of the noise that the data policy adds to its motion.
    pub noise: f32,
    /// Which drawings: "shapes", or the fingerprint of one's own, which [`SpriteRooms::new`] sets.
    pub drawings: String,
}

impl Default for SpriteRoomsOptions {
    fn default() -> Self {
        Self {
            things: MAX_THINGS,
            tasks: vec![Task::Reach, Task::Place, Task::Beside],
            wall_share: 0.7,
            noise: 1.0,
            drawings: SHAPES.to_owned(),
        }
    }
}

impl SpriteRoomsOptions {
    fn check(&self) -> Result<()> {
        let fail = |what: String| Err(WorldError::Options { origin: NAME, what });
        if !(1..=MAX_THINGS).contains(&self.things) {
            return fail(format!("things is {}; 1 to {MAX_THINGS} are possible", self.things));
        }
        if self.tasks.is_empty() || (self.things < 2 && self.tasks.contains(&Task::Beside)) {
            return fail(format!("tasks are {:?}; name at least one, and `beside` only with two things", self.tasks));
        }
        if !(0.0..=1.0).contains(&self.wall_share) || !(0.0..=100.0).contains(&self.noise) {
            return fail(format!(
                "wall_share is {} and noise {}; 0 to 1 and 0 to 100 are possible",
                self.wall_share, self.noise
            ));
        }
        Ok(())
    }
}

/// Drawings of agents and of things.
#[derive(Debug)]
struct Cast {
    agents: Vec<Sprite>,
    things: Vec<Sprite>,
    summed: (Vec<Summed>, Vec<Summed>),
}

/// The world, in pixels of a square of 64. Action: motion (x, y), 1 is 3 px, and the grip, which holds above 0.
///
/// A thing is gripped when it is left or right of the agent, at its side and 8.5 px away, and is carried there until the grip opens.
/// Things that are not held are pushed. There is a wall from top to bottom with a door, or none.
///
/// State: agent, wall and door, what is held, and for each thing its place; bodies also say which drawing they are. Goal: a state, and
/// five numbers that say which fact of it counts ([`Fact`]); a bare state means all of its picture.
#[derive(Clone, Debug)]
pub struct SpriteRooms {
    options: SpriteRoomsOptions,
    cast: Arc<Cast>,
    scene: Scene,
    goal: Scene,
    fact: Fact,
    memory: Memory,
}

impl SpriteRooms {
    /// The world with drawings of agents and of things, of which each episode shows some.
    ///
    /// # Errors
    /// Options outside of their range, no drawings, drawings that are not as their sizes say.
    pub fn new(mut options: SpriteRoomsOptions, agents: Vec<Sprite>, things: Vec<Sprite>) -> Result<Self> {
        options.drawings = format!("{:016x}", fingerprint(agents.iter().chain(&things)));
        Self::with(options, agents, things)
    }

    /// The world with plain shapes: a robot, and discs, squares, triangles and crosses in red and in blue.
    ///
    /// # Errors
    /// Options outside of their range, or of a world with other drawings.
    pub fn shapes(options: SpriteRoomsOptions) -> Result<Self> {
        if options.drawings != SHAPES {
            let what = format!(
                "drawings are {}, not the plain {SHAPES}; give the drawings that it was made with",
                options.drawings
            );
            return Err(WorldError::Options { origin: NAME, what });
        }
        let (agents, things) = shapes();
        Self::with(options, agents, things)
    }

    fn with(options: SpriteRoomsOptions, agents: Vec<Sprite>, things: Vec<Sprite>) -> Result<Self> {
        options.check()?;
        if agents.is_empty() || things.is_empty() {
            let what =
                format!("{} drawings of agents and {} of things; at least one of each", agents.len(), things.len());
            return Err(WorldError::Options { origin: NAME, what });
        }
        agents.iter().chain(&things).try_for_each(Sprite::check)?;
        let sum = |sprites: &[Sprite]| sprites.iter().map(Summed::new).collect();
        let summed = (sum(&agents), sum(&things));
        let body = |x: f64, y: f64, drawing: usize| Body { at: [x, y], drawing: drawing % things.len() };
        let places = [body(20.0, 44.0, 0), body(44.0, 44.0, 1)];
        let scene = Scene {
            agent: Body { at: [32.0, 20.0], drawing: 0 },
            wall: Wall { at: None },
            held: None,
            things: places[..options.things].to_vec(),
        };
        let cast = Arc::new(Cast { agents, things, summed });
        Ok(Self { options, cast, goal: scene.clone(), scene, fact: Fact::Picture, memory: Memory::default() })
    }

    fn drawings(&self) -> (usize, usize) {
        (self.cast.agents.len(), self.cast.things.len())
    }

    fn read(&self, what: &str, state: &[f64]) -> Result<Scene> {
        Scene::from_numbers(what, state, self.options.things, self.drawings())
    }

    fn words(&self, scene: &Scene, fact: Fact) -> Option<String> {
        let things: Vec<&str> =
            scene.things.iter().map(|thing| self.cast.things[thing.drawing].name.as_str()).collect();
        fact.sentence(&self.cast.agents[scene.agent.drawing].name, &things)
    }

    /// The fact that the goal is about.
    pub fn fact(&self) -> Fact {
        self.fact
    }

    /// Sets a fact as the goal, and a scene in which it is true as the picture of the goal.
    ///
    /// # Errors
    /// A fact of a thing that is not there, or one that no scene was found for.
    pub fn set_fact(&mut self, fact: Fact, random: &mut Random) -> Result<()> {
        let fail = |what: String| Err(WorldError::State { origin: NAME, what });
        if Fact::from_numbers(fact.to_numbers(), self.options.things).is_none() {
            return fail(format!("{fact:?} is no fact of a world with {} things", self.options.things));
        }
        match (0..TRIES).find_map(|_| tasks::imagine(&self.scene, fact, random)) {
            Some(goal) => {
                (self.goal, self.fact, self.memory) = (goal, fact, Memory::default());
                Ok(())
            }
            None => fail(format!("{fact:?} cannot be made true from this scene by moving one body")),
        }
    }

    /// Sets the goal that a sentence says, of those that [`SpriteRooms::sentences`] gives.
    ///
    /// # Errors
    /// A sentence that is none of those of this scene, and as [`SpriteRooms::set_fact`].
    pub fn set_sentence(&mut self, sentence: &str, random: &mut Random) -> Result<()> {
        let all = self.sentences();
        match all.iter().find(|(text, _)| text == sentence) {
            Some((_, fact)) => self.set_fact(*fact, random),
            None => {
                let known = all.first().map(|(text, _)| text.as_str()).unwrap_or_default();
                let what = format!("`{sentence}` is no sentence about this scene; one is `{known}`");
                Err(WorldError::State { origin: NAME, what })
            }
        }
    }

    /// Every sentence that could be said of this scene's agent and things, with its fact, whether it is true or not.
    pub fn sentences(&self) -> Vec<(String, Fact)> {
        let facts = Fact::with_sentences(self.options.things);
        facts.into_iter().filter_map(|fact| Some((self.words(&self.scene, fact)?, fact))).collect()
    }

    /// The sentences that are true of a state, with their facts.
    ///
    /// # Errors
    /// As [`World::set_state`].
    pub fn true_of(&self, state: &[f64]) -> Result<Vec<(String, Fact)>> {
        let scene = self.read("a state", state)?;
        let facts = Fact::with_sentences(self.options.things).into_iter().filter(|fact| fact.holds(&scene, &scene));
        Ok(facts.filter_map(|fact| Some((self.words(&scene, fact)?, fact))).collect())
    }

    /// Whether a fact is true of a state; [`Fact::Picture`] is about the goal.
    ///
    /// # Errors
    /// As [`World::set_state`].
    pub fn is_true(&self, fact: Fact, state: &[f64]) -> Result<bool> {
        Ok(fact.holds(&self.read("a state", state)?, &self.goal))
    }

    /// What the drawings of the agents and of the things show, by the numbers that stand in a state.
    pub fn names(&self) -> (Vec<&str>, Vec<&str>) {
        fn of(sprites: &[Sprite]) -> Vec<&str> {
            sprites.iter().map(|sprite| sprite.name.as_str()).collect()
        }
        (of(&self.cast.agents), of(&self.cast.things))
    }
}

impl World for SpriteRooms {
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
        &NAMES[..HEAD + 3 * self.options.things]
    }

    fn goal_size(&self) -> usize {
        self.state_size() + CODE
    }

    fn state(&self) -> Vec<f64> {
        self.scene.to_numbers()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.scene = self.read("a state", state)?;
        self.memory = Memory::default();
        Ok(())
    }

    fn goal(&self) -> Vec<f64> {
        let mut goal = self.goal.to_numbers();
        goal.extend(self.fact.to_numbers());
        goal
    }

    fn set_goal(&mut self, goal: &[f64]) -> Result<()> {
        let size = self.state_size();
        let fact = match goal.len() == size {
            true => Fact::Picture,
            false => {
                check_finite(NAME, "a goal", size + CODE, goal)?;
                let mut code = [0.0; CODE];
                code.copy_from_slice(&goal[size..]);
                Fact::from_numbers(code, self.options.things).ok_or_else(|| {
                    let what = format!("a goal: {code:?} is no fact of a world with {} things", self.options.things);
                    WorldError::State { origin: NAME, what }
                })?
            }
        };
        self.goal = self.read("a goal", &goal[..size])?;
        self.fact = fact;
        self.memory = Memory::default();
        Ok(())
    }

    fn reset(&mut self, random: &mut Random) {
        loop {
            let scene = tasks::scene(self.options.things, self.drawings(), self.options.wall_share, random);
            let task = self.options.tasks[random.below(self.options.tasks.len())];
            if let Some((fact, goal)) = tasks::goal(task, &scene, random) {
                (self.scene, self.goal, self.fact, self.memory) = (scene, goal, fact, Memory::default());
                return;
            }
        }
    }

    fn step(&mut self, action: &[f32]) -> Result<bool> {
        let action = check_action(NAME, &RANGE, action)?;
        self.scene.act([0, 1, 2].map(|i| f64::from(action[i])));
        Ok(self.reached())
    }

    fn reached(&self) -> bool {
        self.fact.holds(&self.scene, &self.goal)
    }

    fn expert(&mut self, random: &mut Random) -> Vec<f32> {
        self.memory.act(&self.scene, &self.goal, self.fact, random).map(|v| v as f32).to_vec()
    }

    fn data_noise(&self) -> f32 {
        self.options.noise
    }

    /// The expert's motion with noise; the grip is at times the other way.
    fn data_action(&mut self, random: &mut Random) -> Vec<f32> {
        let mut action = self.expert(random);
        for value in &mut action[..2] {
            *value = (*value + self.options.noise * random.normal() as f32).clamp(-1.0, 1.0);
        }
        if random.unit() < SLIPS {
            action[2] = -action[2];
        }
        action
    }

    fn instruction(&self) -> Option<String> {
        self.words(&self.scene, self.fact)
    }

    fn draw(&self, state: &[f64], side: usize, rgb: &mut [u8]) -> Result<()> {
        let scene = self.read("a picture's state", state)?;
        picture::draw(&scene, (&self.cast.summed.0, &self.cast.summed.1), side, rgb)
    }

    fn render_goal(&self, side: usize, rgb: &mut [u8]) -> Result<()> {
        picture::draw(&self.goal, (&self.cast.summed.0, &self.cast.summed.1), side, rgb)
    }

    fn fork(&self) -> Box<dyn World> {
        Box::new(self.clone())
    }
}
