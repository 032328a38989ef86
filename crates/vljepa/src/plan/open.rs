//! A world model that is ready to plan: from a folder, or the one that the program carries.

use std::path::Path;

use vljepa_embed::folder::LewmFolder;
use vljepa_tensor::Device;
use vljepa_worlds::World;

use super::agent::Agent;
use super::guide::{GUIDE, Guide};
use crate::builtin::{CarriedWorldModel, WORLD_MODEL};
use crate::error::{Error, Hint, Result};

/// A world model that plans in a world, and what its folder has of a guide.
#[derive(Debug)]
pub struct Opened {
    /// The model.
    pub agent: Agent,
    /// The guide beside it.
    pub guide: Option<Guide>,
    /// The path of the folder, as given, or the name of the built-in model.
    pub origin: String,
}

impl Opened {
    /// Opens the folder `dir`, or the built-in model where there is no `dir`, or none of its name: model and guide.
    ///
    /// # Errors
    /// As [`Opened::model`]; a guide that is damaged or of other weights.
    pub fn new(device: &Device, dir: Option<&Path>, world: &dyn World) -> Result<Self> {
        let (agent, origin) = Self::model(device, dir, world)?;
        let guide = match (own(dir), CarriedWorldModel::find()) {
            (Some(dir), _) => Guide::read(dir, &agent, world)?,
            (None, Some(carried)) => Some(Guide::from_bytes(carried.guide(), Path::new(GUIDE), &agent, world)?),
            (None, None) => None,
        };
        Ok(Self { agent, guide, origin })
    }

    /// The model alone, and the path of its folder or its name.
    ///
    /// # Errors
    /// A path that is no world model's folder, damaged files, a model of another world, a build without the built-in model, what the
    /// device reports.
    pub fn model(device: &Device, dir: Option<&Path>, world: &dyn World) -> Result<(Agent, String)> {
        let folder = match (own(dir), CarriedWorldModel::find()) {
            (Some(dir), _) => LewmFolder::open(dir)?,
            (None, Some(carried)) => carried.folder()?,
            (None, None) => {
                return Err(Error::invalid("this build carries no world model").hint(Hint::NameModel));
            }
        };
        Ok((Agent::new(device, folder.load(device)?, world)?, folder.origin().to_owned()))
    }
}

/// The folder, where one is named.
fn own(dir: Option<&Path>) -> Option<&Path> {
    dir.filter(|dir| *dir != Path::new(WORLD_MODEL) || dir.exists())
}
