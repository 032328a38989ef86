//! Clips of drawings in motion, by the unseen vendor and in held-out wordings: what happens in them, answers to questions, a search.

use std::time::Instant;

use serde::Serialize;
use vljepa_data::emoji::{EmojiVendors, Role, Split};
use vljepa_data::sprite_world::words::{Kind, Length, Question, Wordings, caption, questions};
use vljepa_data::sprite_world::{Scene, SpriteOptions, SpriteWorld};
use vljepa_data::{Rgb8Image, SampleKey};
use vljepa_embed::Model;
use vljepa_embed::rows::{best, dot, softmax};
use vljepa_train::sources::sprite_world::{Players, of_role, world};

use super::rank::place;
use crate::error::Result;
use crate::strip::{frames, side_by_side};

/// Clips that are seen.
const CLIPS: usize = 60;
/// Clips that are shown with what happens in them.
const SHOWN: usize = 12;
/// Ranked answers that are shown.
const ANSWERS: usize = 5;
/// The questions that are shown, one of each kind.
const KINDS: [Kind; 5] = [Kind::Direction, Kind::Count, Kind::YesNo, Kind::Order, Kind::Next];
/// Captions that are searched for.
const SEARCHES: usize = 5;
/// Clips that are shown for a search.
const FOUND: usize = 4;

/// A question about a clip, and the ranked answers.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// The number of the clip.
    pub clip: usize,
    /// The question.
    pub question: String,
    /// The right answer.
    pub truth: String,
    /// Rank of the right answer, from 1.
    pub place: usize,
    /// How many answers there were to choose from.
    pub candidates: usize,
    /// The best answers with their softmax scores.
    pub answers: Vec<(String, f64)>,
}

/// A caption, and the clips that it finds.
#[derive(Clone, Debug, Serialize)]
pub struct ClipSearch {
    /// The caption of one clip.
    pub text: String,
    /// The number of that clip, and its rank from 1.
    pub truth: (usize, usize),
    /// The clips found, best first.
    pub found: Vec<usize>,
}

/// What a model makes of clips.
#[derive(Debug, Serialize)]
pub struct Clips {
    /// The model's folder or name.
    pub model: String,
    /// Number of its parameters.
    pub parameters: u64,
    /// Number of clips that are searched.
    pub clips: usize,
    /// Clips with the question what happens in them.
    pub actions: Vec<Answered>,
    /// Other questions, one of each kind.
    pub questions: Vec<Answered>,
    /// Searches by caption.
    pub searches: Vec<ClipSearch>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The frames of each clip, side by side.
    #[serde(skip)]
    pub(super) strips: Vec<Rgb8Image>,
}

impl Clips {
    /// Shows the model clips of the test vendor's drawings; `None` for a model that takes no questions, or whose clips are too short.
    /// The clips are the first of their kind: none is chosen by hand.
    ///
    /// # Errors
    /// Drawings that cannot be read, and what the model reports.
    pub fn run(model: &Model, set: &EmojiVendors) -> Result<Option<Self>> {
        let options = SpriteOptions { frames: model.config().frames(), ..SpriteOptions::default() };
        if options.problem().is_some() || model.embedder().queries.is_none() {
            return Ok(None);
        }
        let start = Instant::now();
        let vendors = of_role(set, Role::Test);
        let world = world(Players::Emoji { set, vendors: &vendors, split: Split::Train }, options)?;
        let scenes: Vec<Scene> = (0..CLIPS).map(|clip| world.scene(key(clip))).collect();
        let side = model.config().image_size();
        let (mut pixels, mut strips) = (Vec::new(), Vec::new());
        for scene in &scenes {
            let frames = frames(&world, scene, side)?;
            pixels.extend(model.preprocess().clip(&frames)?);
            strips.push(side_by_side(&frames)?);
        }
        let (actions, others) = first_questions(&world, &scenes);
        let seen = Seen { model, pixels: &pixels, frames: options.frames };
        let texts: Vec<String> = (scenes.iter().take(SEARCHES).enumerate())
            .map(|(clip, scene)| caption(&world, scene, Length::Long, Wordings::HeldOut, key(clip)))
            .collect();
        Ok(Some(Self {
            model: model.origin().to_owned(),
            parameters: model.config().parameters(),
            clips: CLIPS,
            actions: seen.answer(&actions)?,
            questions: seen.answer(&others)?,
            searches: seen.search(&texts)?,
            seconds: start.elapsed().as_secs_f64(),
            strips,
        }))
    }
}

/// A question with the number of its clip.
type Numbered = (usize, Question);

/// The first questions for actions, and the first one of each other kind that is shown, each about a clip of its own.
fn first_questions(world: &SpriteWorld, scenes: &[Scene]) -> (Vec<Numbered>, Vec<Numbered>) {
    let (mut actions, mut others) = (Vec::new(), Vec::<Numbered>::new());
    for (clip, scene) in scenes.iter().enumerate() {
        for question in questions(world, scene, Wordings::HeldOut, key(clip)) {
            if question.kind == Kind::Action && actions.len() < SHOWN {
                actions.push((clip, question));
            } else if KINDS.contains(&question.kind)
                && !others.iter().any(|(of, other)| other.kind == question.kind || *of == clip)
            {
                others.push((clip, question));
            }
        }
    }
    (actions, others)
}

/// Clips that a model looks at.
struct Seen<'a> {
    model: &'a Model,
    pixels: &'a [f32],
    frames: usize,
}

impl Seen<'_> {
    /// Predictions for the clips of these numbers and queries.
    fn predict(&self, asked: &[(usize, &str)]) -> Result<Vec<f32>> {
        let shape = [CLIPS, self.frames, self.model.config().image_size()];
        Ok(self.model.embedder().asked(self.pixels, shape, asked)?)
    }

    fn answer(&self, asked: &[Numbered]) -> Result<Vec<Answered>> {
        let queries: Vec<(usize, &str)> =
            asked.iter().map(|(clip, question)| (*clip, question.text.as_str())).collect();
        let (rows, dim) = (self.predict(&queries)?, self.model.dim());
        let answer = |(row, (clip, question)): (&[f32], &Numbered)| -> Result<Answered> {
            let texts: Vec<&String> = std::iter::once(&question.answer).chain(&question.others).collect();
            let targets = self.model.embedder().texts(&texts)?;
            let cosines: Vec<f32> = targets.chunks_exact(dim).map(|target| dot(row, target)).collect();
            let scores = softmax(&cosines, self.model.scale());
            Ok(Answered {
                clip: *clip,
                question: question.text.clone(),
                truth: question.answer.clone(),
                place: place(&cosines, 0),
                candidates: texts.len(),
                answers: best(&cosines, ANSWERS).iter().map(|m| (texts[m.index].clone(), scores[m.index])).collect(),
            })
        };
        rows.chunks_exact(dim).zip(asked).map(answer).collect()
    }

    /// Searches for the captions of the first clips.
    fn search(&self, texts: &[String]) -> Result<Vec<ClipSearch>> {
        let all: Vec<(usize, &str)> = (0..CLIPS).map(|clip| (clip, "")).collect();
        let (rows, dim) = (self.predict(&all)?, self.model.dim());
        let targets = self.model.embedder().texts(texts)?;
        let search = |(clip, (text, target)): (usize, (&String, &[f32]))| {
            let cosines: Vec<f32> = rows.chunks_exact(dim).map(|row| dot(row, target)).collect();
            let found = best(&cosines, FOUND).iter().map(|m| m.index).collect();
            ClipSearch { text: text.clone(), truth: (clip, place(&cosines, clip)), found }
        };
        Ok(texts.iter().zip(targets.chunks_exact(dim)).enumerate().map(search).collect())
    }
}

/// The key of a clip: far from the numbers of the trainer, of the suite and of files.
fn key(clip: usize) -> SampleKey {
    SampleKey { seed: 0, epoch: 5000, index: clip as u64, stream: 0 }
}
