//! `index build` and `search`.

use serde_json::json;
use vljepa::{AnyFolder, Index, Need, PictureFolder, Result};

use super::args::{Common, IndexArgs, IndexVerb, SearchArgs};
use super::{Output, adapter, heard, load, note_cut, note_query, open, output};

pub fn build(args: &IndexArgs, common: &Common, out: &Output) -> Result<()> {
    let IndexVerb::Build(args) = &args.verb;
    vljepa::check_writable(&args.out)?;
    let pictures = PictureFolder::open(&args.dir)?;
    let (folder, model) = load(&args.model, common, Need::Index)?;
    note_query(&model.asked(None)?, None, out);
    let bar = out.progress("pictures", pictures.files().len());
    let identity = json!({
        "precision": args.model.precision,
        "device": adapter(model.device()),
    });
    let heard = heard(&args.out, &bar, out);
    let index = Index::build(&model, &folder, pictures, &args.out, &identity, args.skip_broken, heard)?;
    bar.finish_and_clear();
    out.skipped(&index.skipped);
    let path = args.out.display().to_string();
    if out.json {
        return out.document(&json!({
            "out": path, "pictures": index.pictures, "dim": model.dim(), "model": folder.hash(),
            "resumed": index.resumed.taken, "done_anew": index.resumed.anew(), "skipped": output::paths(&index.skipped),
        }));
    }
    out.text(&format!("{} pictures in {path}\n", index.pictures))
}

pub fn search(args: &SearchArgs, common: &Common, out: &Output) -> Result<()> {
    // The index first: what is wrong with it is known before a device is asked for.
    vljepa::check_texts("TEXT", &args.texts)?;
    let folder = AnyFolder::find(args.model.model.as_deref())?.vljepa(Need::Search)?;
    let index = Index::open(&args.index, &folder)?;
    let model = open(&folder, &args.model, common)?;
    let (texts, cut) = model.embed_texts(&args.texts, |_| ())?;
    note_cut(cut.as_ref(), |i| format!("TEXT {}", i + 1), out);
    let mut rows = Vec::new();
    let mut searches = Vec::new();
    for (i, text) in args.texts.iter().enumerate() {
        let mut results = Vec::new();
        for (rank, found) in index.search(&texts, i, args.top).into_iter().enumerate() {
            let (path, fresh) = index.picture(found.index);
            let path = path.display().to_string();
            let remark = if fresh { "" } else { "  (changed or gone since it was indexed)" };
            let name = if rank == 0 { text.clone() } else { String::new() };
            rows.push(vec![name, format!("{:+.3}", found.cosine), format!("{path}{remark}")]);
            results.push(json!({ "rank": rank + 1, "path": path, "cosine": found.cosine, "fresh": fresh }));
        }
        searches.push(json!({ "text": text, "results": results }));
    }
    if out.json {
        return out.document(&json!({ "index": args.index.display().to_string(), "searches": searches }));
    }
    out.text(&output::columns(&rows))
}
