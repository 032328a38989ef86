//! Building and updating an index.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vljepa_embed::partial::{Partial, Resumed, RowEvent, RowOptions, Task};
use vljepa_embed::visuals::{Broken, Noted, Progress, Reading, Skipped};
use vljepa_embed::{Hint as EmbedHint, Model, check_apart};

use super::entry::Entry;
use super::file::Index;
use super::folder::PictureFolder;
use super::made::Made;
use super::rows::{Place, Rows, Values};
use super::write::write_index;
use crate::error::{Error, Result};

/// The result of building or updating an index.
#[derive(Debug)]
pub struct Indexed {
    /// Number of pictures and videos in the index.
    pub pictures: usize,
    /// Number of rows: more than pictures where videos are cut into clips.
    pub rows: usize,
    /// The files that were left out.
    pub skipped: Vec<Skipped>,
    /// What is to be known of files that were embedded.
    pub notes: Vec<Noted>,
    /// What was reused of an earlier run that was stopped.
    pub resumed: Resumed,
    /// Number of pictures and videos whose rows were taken over from the index that was there.
    pub reused: usize,
    /// Number of pictures and videos of the index that was there which are not in the folder any more.
    pub dropped: usize,
}

/// What an index is made of.
struct Plan<'a> {
    model: &'a Model,
    folder: PictureFolder,
    out: &'a Path,
    /// How the rows that are taken over were made; of what is read, how the new ones are too.
    made: Made,
    /// How rows are made now.
    now: Made,
    /// The index whose rows are taken over.
    old: Option<Index>,
}

impl Index {
    /// Embeds every picture and video of a folder into the index `out`. It resumes an earlier run that was stopped, if
    /// that run had the same folder, model and [identity](RowOptions::identity) (such as precision and device). With
    /// [`Broken::Skip`], files that cannot be read and files whose names are not UTF-8 are left out and returned;
    /// otherwise the first of them is an error. Rows of files that have not changed are taken over from the index that `out`
    /// is already, where it was built with the same folder, model and identity by the same version of this program.
    ///
    /// # Errors
    /// As [`embed_to_file`](vljepa_embed::row_file::embed_to_file).
    pub fn build(model: &Model, folder: PictureFolder, out: &Path, options: RowOptions<'_>) -> Result<Indexed> {
        let (broken, reading, identity, on_event) = options.into_parts();
        let made = made(model, &folder, reading, &identity);
        // What is there is replaced, whatever it is: an index that is damaged or of another model is no fault here.
        let old = Self::read(out).ok().filter(|old| old.made == made && old.table.dim() == model.dim());
        let old = old.filter(|old| old.check_lengths().is_ok());
        make(Plan { model, folder, out, now: made.clone(), made, old }, broken, &identity, on_event)
    }

    /// Embeds what is new or has changed in the folder of `old`, and drops what is gone; `folder` is that folder as [`Index::folder`]
    /// gives it. The files are read as they were for `old`. The file of `old` is replaced, and stays as it is where nothing changed.
    /// Rows of unchanged files stay also where another version of this program or other settings made them.
    ///
    /// # Errors
    /// An index of another model, and as [`Self::build`].
    pub fn update(model: &Model, old: Self, folder: PictureFolder, options: RowOptions<'_>) -> Result<Indexed> {
        let (broken, _, identity, on_event) = options.into_parts();
        old.check_model(model.hash(), model.origin(), model.dim())?;
        old.check_lengths()?;
        let now = made(model, &folder, old.made.reading, &identity);
        let (made, out) = (old.made.clone(), old.path.clone());
        make(Plan { model, folder, out: &out, made, now, old: Some(old) }, broken, &identity, on_event)
    }
}

fn made(model: &Model, folder: &PictureFolder, reading: Reading, identity: &Value) -> Made {
    Made {
        model: model.hash().to_owned(),
        root: folder.root.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        reading,
        settings: identity.clone(),
        frame_folders: folder.frame_folders,
        mixed: false,
    }
}

fn make(
    plan: Plan<'_>,
    broken: Broken,
    identity: &Value,
    mut on_event: Box<dyn FnMut(RowEvent) + '_>,
) -> Result<Indexed> {
    let Plan { model, folder: PictureFolder { root, mut files, .. }, out, made, now, old } = plan;
    let asked = model.with_query(None)?;
    made.reading.check(&asked)?;
    let mut skipped = check_names(&root, &mut files, broken)?;
    check_apart(out, &files)?;
    let old_entries = old.as_ref().map(|old| old.table.entries()).unwrap_or_default();
    let rows = Rows::new(&old_entries, &root, &files);
    let mut depends = identity.as_object().cloned().unwrap_or_default();
    depends.insert("model".into(), model.hash().into());
    let depends = &Value::Object(depends);
    let inputs = std::slice::from_ref(&root);
    let (fresh, reused) = (rows.fresh(&files), rows.reused());
    let may_be_empty = reused > 0;
    let task = Task { task: "index", inputs, files: &fresh, out, depends, broken, reading: made.reading, may_be_empty };
    let mut on_event = |event| match event {
        RowEvent::Done(p) => on_event(RowEvent::Done(Progress { files: reused + p.files, ..p })),
        other => on_event(other),
    };
    let partial = match fresh.is_empty() {
        true => None,
        false => Some(Partial::complete(&asked, &task, &mut on_event)?),
    };
    let left_out = partial.as_ref().map(|partial| partial.left_out(&fresh)).unwrap_or_default();
    let notes = partial.as_ref().map(|partial| partial.notes(&fresh)).unwrap_or_default();
    let (entries, places) = rows.entries(&root, &files, partial.as_ref(), &left_out, &notes)?;
    let dim = model.dim();
    if let Some(shape) = partial.as_ref().map(Partial::shape).filter(|shape| !shape.is_empty() && **shape != [dim]) {
        return Err(Error::content(out, format!("rows of shape {shape:?}, {dim} numbers are needed")));
    }
    let dropped = dropped(&old_entries, &entries);
    let (pictures, row_count) = (entries.len(), places.len());
    let resumed = partial.as_ref().map(Partial::resumed).unwrap_or_default();
    // An index with no change to it stays as it is.
    if old.is_none() || partial.is_some() || entries != old_entries {
        let table = old.as_ref().map(|old| &old.table);
        let kept = places.iter().any(|place| matches!(place, Place::Old(_)));
        let added = places.iter().any(|place| matches!(place, Place::Next));
        let made = made.after(now, kept, added);
        let mut values = Values::new(table, partial.as_ref().map(Partial::ordered), places, dim);
        write_index(out, &made, &entries, dim, &mut values)?;
    }
    if let Some(partial) = partial {
        partial.remove();
    }
    skipped.extend(left_out);
    Ok(Indexed { pictures, rows: row_count, skipped, notes, resumed, reused, dropped })
}

/// Checks the names first: this costs nothing, and a bad name should not be found after hours of work.
fn check_names(root: &Path, files: &mut Vec<PathBuf>, broken: Broken) -> Result<Vec<Skipped>> {
    let (mut skipped, mut bad_name) = (Vec::new(), None);
    files.retain(|path| match Entry::of(root, path, (0, 0)) {
        Ok(_) => true,
        Err(e) if broken == Broken::Skip => {
            skipped.push(Skipped { path: path.clone(), error: e.to_string() });
            false
        }
        Err(e) => {
            bad_name.get_or_insert(e);
            false
        }
    });
    match bad_name {
        Some(e) => Err(vljepa_embed::Error::hint(e, EmbedHint::SkipBroken).into()),
        None => Ok(skipped),
    }
}

/// How many files of the index that was there are in the new one no more.
fn dropped(old: &[Entry], new: &[Entry]) -> usize {
    let paths: HashSet<&str> = new.iter().map(|entry| entry.path.as_str()).collect();
    old.iter().filter(|entry| !paths.contains(entry.path.as_str())).count()
}
