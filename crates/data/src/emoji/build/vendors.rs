//! Where each vendor's drawings lie in its packages.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde_json::Value;

use super::join::{Joiner, join_key};
use super::packages::{self, Package, Packages};
use super::render;
use crate::emoji::manifest::{Concept, Role, Vendor};
use crate::{DataError, Rgba8Image};

/// Pictures by index of the concept.
pub(super) type Drawings = BTreeMap<u32, Rgba8Image>;

/// How a package holds its drawings.
enum Layout {
    /// `icons.json` with vector bodies; the concept follows from the name, through `chars.json` where it is filled.
    Iconify,
    /// One file per concept in `folder`, named by its code points.
    Files { folder: &'static str, extension: &'static str },
}

/// A vendor and its packages; a later one only fills what earlier ones lack.
pub(super) struct Source {
    pub id: &'static str,
    pub name: &'static str,
    role: Role,
    license: &'static str,
    author: &'static str,
    /// Whether the licence lets us commit the pictures.
    pub commit: bool,
    layouts: &'static [(Package, Layout)],
}

pub(super) const SOURCES: &[Source] = &[
    Source {
        id: "noto",
        name: "Noto Emoji",
        role: Role::Train,
        license: "Apache-2.0",
        author: "Google",
        commit: true,
        layouts: &[
            (packages::NOTO, Layout::Iconify),
            (packages::DATASOURCE_GOOGLE, Layout::Files { folder: "img/google/64/", extension: ".png" }),
        ],
    },
    Source {
        id: "twemoji",
        name: "Twemoji",
        role: Role::Train,
        license: "CC-BY-4.0",
        author: "Twitter, Inc. and other contributors",
        commit: true,
        layouts: &[
            (packages::TWEMOJI, Layout::Iconify),
            (packages::DATASOURCE_TWITTER, Layout::Files { folder: "img/twitter/64/", extension: ".png" }),
        ],
    },
    Source {
        id: "emojione",
        name: "EmojiOne v2",
        role: Role::Train,
        license: "CC-BY-4.0",
        author: "EmojiOne (now JoyPixels)",
        commit: true,
        layouts: &[(packages::EMOJIONE, Layout::Iconify)],
    },
    Source {
        id: "openmoji",
        name: "OpenMoji",
        role: Role::Train,
        license: "CC-BY-SA-4.0",
        author: "OpenMoji, HfG Schwäbisch Gmünd and contributors",
        commit: false,
        layouts: &[(packages::OPENMOJI, Layout::Files { folder: "color/svg/", extension: ".svg" })],
    },
    Source {
        id: "noto-v1",
        name: "Noto Emoji v1",
        role: Role::Val,
        license: "Apache-2.0",
        author: "Google",
        commit: true,
        layouts: &[(packages::NOTO_V1, Layout::Iconify)],
    },
    Source {
        id: "fluent-3d",
        name: "Fluent Emoji 3-D",
        role: Role::Test,
        license: "MIT",
        author: "Microsoft Corporation",
        commit: true,
        layouts: &[(packages::FLUENT_3D, Layout::Files { folder: "assets/", extension: ".webp" })],
    },
    Source {
        id: "fluent-flat",
        name: "Fluent Emoji flat",
        role: Role::Test,
        license: "MIT",
        author: "Microsoft Corporation",
        commit: true,
        layouts: &[(packages::FLUENT_FLAT, Layout::Iconify)],
    },
];

impl Source {
    /// The manifest's entry, its sheet still empty.
    pub fn vendor(&self) -> Vendor {
        Vendor {
            id: self.id.to_owned(),
            name: self.name.to_owned(),
            role: self.role,
            license: self.license.to_owned(),
            author: self.author.to_owned(),
            packages: self.layouts.iter().map(|(p, _)| format!("npm:{}@{}", p.name, p.version)).collect(),
            file: String::new(),
            columns: 0,
            pictures: Vec::new(),
        }
    }
}

/// All drawings of one vendor.
pub(super) fn draw(
    source: &Source,
    packages: &Packages,
    concepts: &[Concept],
    joiner: &Joiner,
) -> Result<Drawings, DataError> {
    let mut drawings = Drawings::new();
    for (package, layout) in source.layouts {
        if drawings.len() == concepts.len() {
            break;
        }
        let found: BTreeMap<u32, (String, Vec<u8>)> = match layout {
            Layout::Iconify => icons(packages, package, joiner)?,
            Layout::Files { folder, extension } => packages
                .read(package, |name| name.starts_with(folder) && name.ends_with(extension))?
                .into_iter()
                .filter_map(|(name, bytes)| {
                    let stem = name.strip_prefix(folder)?.strip_suffix(extension)?;
                    Some((joiner.key(&join_key(stem))?, (name, bytes)))
                })
                .collect(),
        };
        let wanted: Vec<_> = found.into_iter().filter(|(index, _)| !drawings.contains_key(index)).collect();
        let rendered: Result<Vec<_>, DataError> = wanted
            .into_par_iter()
            .map(|(index, (name, bytes))| {
                let origin = format!("{}@{}/{name}", package.name, package.version);
                let picture = match std::str::from_utf8(&bytes) {
                    Ok(document) => render::svg(&origin, document)?,
                    Err(_) => render::pixels(&origin, &bytes)?,
                };
                Ok((index, picture))
            })
            .collect();
        // A rendering without a visible pixel is a drawing we failed to read: better none than an empty one.
        drawings.extend(rendered?.into_iter().filter(|(_, p)| p.data.chunks_exact(4).any(|pixel| pixel[3] > 0)));
    }
    Ok(drawings)
}

/// The SVG documents of an icon set that belong to a concept.
fn icons(
    packages: &Packages,
    package: &Package,
    joiner: &Joiner,
) -> Result<BTreeMap<u32, (String, Vec<u8>)>, DataError> {
    let chars = packages.json(package, "chars.json")?;
    let set = packages.json(package, "icons.json")?;
    let mut by_name: BTreeMap<String, u32> = BTreeMap::new();
    for (hex, name) in chars.as_object().into_iter().flatten() {
        if let (Some(index), Some(name)) = (joiner.key(&join_key(hex)), name.as_str()) {
            by_name.insert(name.to_owned(), index);
        }
    }
    let stated = !by_name.is_empty();
    let mut found = BTreeMap::new();
    // The icons' own names go first; an alias only fills what they leave open.
    for field in ["icons", "aliases"] {
        for name in set.get(field).and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            let index = if stated { by_name.get(name).copied() } else { joiner.slug(name) };
            if let Some(index) = index
                && !found.contains_key(&index)
                && let Some(document) = document(&set, name)
            {
                found.insert(index, (name.clone(), document.into_bytes()));
            }
        }
    }
    Ok(found)
}

/// One icon as a whole SVG document, its alias transformations applied.
fn document(set: &Value, name: &str) -> Option<String> {
    let (mut current, mut flips, mut quarter_turns) = (name, [false, false], 0);
    // Aliases may name aliases; the bound stops a cycle.
    for _ in 0..8 {
        if let Some(icon) = set.get("icons")?.get(current) {
            let side = |field: &str| {
                let own = icon.get(field).or_else(|| set.get(field));
                own.and_then(Value::as_f64).unwrap_or(16.0)
            };
            let (width, height) = (side("width"), side("height"));
            let origin = |field: &str| icon.get(field).and_then(Value::as_f64).unwrap_or(0.0);
            let (left, top) = (origin("left"), origin("top"));
            let (cx, cy) = (left + width / 2.0, top + height / 2.0);
            let sign = |flip: bool| if flip { -1 } else { 1 };
            return Some(format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
                 width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\">\
                 <g transform=\"translate({cx} {cy}) rotate({}) scale({} {}) translate({} {})\">{}</g></svg>",
                quarter_turns * 90,
                sign(flips[0]),
                sign(flips[1]),
                -cx,
                -cy,
                icon.get("body")?.as_str()?
            ));
        }
        let alias = set.get("aliases")?.get(current)?;
        let set_true = |field: &str| alias.get(field).and_then(Value::as_bool).unwrap_or(false);
        flips = [flips[0] ^ set_true("hFlip"), flips[1] ^ set_true("vFlip")];
        quarter_turns += alias.get("rotate").and_then(Value::as_i64).unwrap_or(0);
        current = alias.get("parent")?.as_str()?;
    }
    None
}
