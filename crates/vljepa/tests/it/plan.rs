//! `plan`, `worlds` and `eval two-room`: episodes that are planned, drawn, recorded and measured.

use serde_json::Value;
use vljepa::plan::{Agent, Guide, GuideOptions, Opened, Toward, drawn, held_out};
use vljepa_model::config::LewmConfig;
use vljepa_model::weights::Writer;
use vljepa_worlds::world_by_name;

use crate::support::{Bench, fails, json, misused, noted, vljepa};
use crate::synthetic::synthetic;

/// A folder of a tiny world model of two-room with weights that `turn` changes.
fn model(bench: &Bench, name: &str, turn: f32) -> String {
    let config = r#"{"model_type": "lewm", "image_size": 28, "patch_size": 14, "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 32, "projection_size": 24, "action_size": 2, "frameskip": 5,
        "action_features": 4, "action_mlp_ratio": 2, "history": 1, "world": "two-room",
        "predictor": {"depth": 1, "heads": 2, "dim_head": 8, "mlp_dim": 32, "dropout": 0.0, "emb_dropout": 0.0},
        "actions": {"mean": [0.01, -0.04], "std": [0.87, 0.87]}}"#;
    let mut writer = Writer::new();
    for spec in LewmConfig::from_json(config).unwrap().tensors() {
        let values: Vec<f32> = match spec.name.ends_with("running_var") {
            true => vec![1.0; spec.shape.iter().product()],
            false => synthetic(&spec.name, &spec.shape, None).into_iter().map(|v| v * turn).collect(),
        };
        writer.f32(&spec.name, &spec.shape, &values).unwrap();
    }
    std::fs::create_dir(bench.path(name)).unwrap();
    bench.write(&format!("{name}/config.json"), config);
    bench.write(&format!("{name}/model.safetensors"), writer.finish().unwrap());
    bench.text(name)
}

/// Frames of an animated WebP.
fn frames(bench: &Bench, name: &str) -> usize {
    std::fs::read(bench.path(name)).unwrap().windows(4).filter(|chunk| chunk == b"ANMF").count()
}

const SMALL: [&str; 4] = ["--samples", "20", "--iterations", "2"];

#[test]
fn an_episode_is_planned_told_and_drawn() {
    let bench = Bench::new();
    let folder = model(&bench, "world", 1.0);
    let (film, map) = (bench.text("e.webp"), bench.text("e.png"));
    let mut args = vec!["plan", "--model", &folder, "--start", "40,180", "--goal", "180,40", "--budget", "20"];
    args.extend(SMALL);
    args.extend(["--out", &film, "--energy", &map]);
    let (said, notes) = noted(&args);
    assert!(notes.starts_with("adapter: ") && notes.lines().count() == 1, "{notes}");
    let states = said["states"].as_array().unwrap();
    assert_eq!(said["steps"].as_u64().unwrap() as usize, states.len() - 1);
    assert_eq!((&states[0], &said["goal"]), (&serde_json::json!([40.0, 180.0]), &serde_json::json!([180.0, 40.0])));
    // 15 steps of the first plan, 5 of the second.
    let steps: Vec<u64> = said["plans"].as_array().unwrap().iter().map(|p| p["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 15]);
    assert!(said["plans"].as_array().unwrap().iter().all(|plan| plan["by_iteration"].as_array().unwrap().len() == 2));
    // Not trained, it does not get there; an agent takes 5 px a step at most along each axis.
    assert_eq!(said["success"], false);
    for pair in states.windows(2) {
        let [from, to] = [&pair[0], &pair[1]].map(|state| serde_json::from_value::<[f64; 2]>(state.clone()).unwrap());
        assert!((to[0] - from[0]).abs() < 5.01 && (to[1] - from[1]).abs() < 5.01);
    }
    assert_eq!(frames(&bench, "e.webp"), 21 + 12);
    assert!(std::fs::read(&map).unwrap().starts_with(b"\x89PNG"));
    // The same seed, the same episode.
    assert_eq!(noted(&args).0["states"], said["states"]);
}

#[test]
fn a_guide_is_made_used_and_refused_with_other_weights() {
    let bench = Bench::new();
    let folder = model(&bench, "world", 1.0);
    let own = ["plan", "--model", &folder, "--guide", "own", "--budget", "5"];
    fails(&mut vljepa(own), &["no guide", "vljepa worlds guide"]);
    let (made, _) = noted(["worlds", "guide", "--model", &folder, "--episodes", "40", "--places", "12"]);
    assert_eq!((made["places"].as_u64(), made["episodes"].as_u64()), (Some(12), Some(40)));
    assert!(made["ways"].as_u64().unwrap() > 0);
    let (_, notes) = noted(own);
    assert!(notes.contains("12 places to go by"), "{notes}");
    let other = model(&bench, "other", 0.5);
    std::fs::copy(bench.path("world/guide.safetensors"), bench.path("other/guide.safetensors")).unwrap();
    fails(&mut vljepa(["plan", "--model", &other]), &["guide.safetensors", "other weights", "worlds guide"]);
    // Without its guide the model plans.
    noted(["plan", "--model", &other, "--guide", "none", "--budget", "5", "--samples", "10", "--iterations", "1"]);
}

#[test]
fn evaluations_stand_beside_their_floors() {
    let bench = Bench::new();
    let folder = model(&bench, "world", 1.0);
    let mut args = vec!["eval", "two-room", "--model", &folder, "--n", "12", "--seeds", "4,5"];
    args.extend(SMALL);
    let (report, _) = noted(&args);
    let keys = ["suite", "n", "success", "ci", "random", "noop", "start_inside", "oracle", "plan_ms", "seeds"];
    assert!(keys.iter().all(|key| !report[*key].is_null()), "{report}");
    assert_eq!((&report["n"], &report["oracle"], &report["budget"]), (&24.into(), &1.0.into(), &50.into()));
    assert_eq!(report["seeds"].as_array().unwrap().len(), 2);
    let (success, inside) = (report["success"].as_f64().unwrap(), report["start_inside"].as_f64().unwrap());
    assert!((inside..0.8).contains(&success), "{report}");
    let (latents, _) = noted(["eval", "two-room", "--model", &folder, "--latents"]);
    let ahead = latents["roll_out"].as_array().unwrap();
    assert_eq!(ahead.iter().map(|row| row["blocks"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    // What moves farther is farther from where it was.
    assert!(ahead[0]["copy_last"].as_f64() < ahead[4]["copy_last"].as_f64());
    assert_eq!(latents["probe"].as_array().unwrap().len(), 2);
}

#[test]
fn costs_are_distances_of_what_plans_lead_to() {
    let bench = Bench::new();
    let world = world_by_name("two-room").unwrap();
    let folder = model(&bench, "world", 1.0);
    let device = vljepa::open_device("cpu").unwrap();
    let (agent, _): (Agent, _) = Opened::model(&device, Some(folder.as_ref()), world.as_ref()).unwrap();
    let picture = |x: f64, y: f64| agent.picture(world.as_ref(), &[x, y]).unwrap();
    let latents = agent.latents(&[picture(40.0, 50.0), picture(180.0, 70.0), picture(60.0, 190.0)]).unwrap();
    let (seen, goals) = (latents[..2].to_vec(), latents[1..].to_vec());
    // Two problems, three plans of four blocks each.
    let plans: Vec<f32> = (0..6 * 4 * 10).map(|i| (i as f32 * 0.7).sin()).collect();
    let costs = |toward: Toward| agent.costs(&seen, &goals, &plans, [6, 4], toward).unwrap();
    let [last, mean, nearest] = [Toward::Last, Toward::Mean, Toward::Nearest].map(costs);
    for i in 0..6 {
        let way = agent.imagine(&seen[i / 3..=i / 3], &plans[i * 40..(i + 1) * 40]).unwrap().concat();
        let off: Vec<f32> =
            way.iter().map(|l| l.iter().zip(&goals[i / 3]).map(|(a, b)| (a - b).powi(2)).sum()).collect();
        let near = |a: f32, b: f32| (a - b).abs() <= 1e-4 * b.abs().max(1e-3);
        assert!(near(last[i], off[3]), "{i}");
        assert!(near(mean[i], off.iter().sum::<f32>() / 4.0), "{i}");
        assert!(near(nearest[i], off.iter().copied().fold(f32::INFINITY, f32::min)), "{i}");
    }
    let mut spoilt = plans.clone();
    spoilt[45] = f32::NAN;
    let costs = agent.costs(&seen, &goals, &spoilt, [6, 4], Toward::Nearest).unwrap();
    assert!(costs[1].is_nan() && costs[0] == nearest[0] && costs[2] == nearest[2], "{costs:?}");
}

#[test]
fn the_carried_model_goes_into_the_other_room_through_the_door() {
    let (said, notes) = noted(["plan", "--start", "40,180", "--goal", "180,180", "--seed", "1"]);
    assert!(notes.contains("places to go by"), "{notes}");
    assert_eq!(said["success"], true, "{said}");
    let states: Vec<(f64, f64)> =
        said["states"].as_array().unwrap().iter().map(|s| (s[0].as_f64().unwrap(), s[1].as_f64().unwrap())).collect();
    assert!(states.iter().any(|s| (100.0..124.0).contains(&s.0)), "{states:?}");
    assert!(said["plans"].as_array().unwrap().iter().any(|plan| !plan["subgoal"].is_null()), "{said}");
    let (latents, _) = noted(["eval", "two-room", "--latents"]);
    for row in latents["roll_out"].as_array().unwrap() {
        assert!(row["model"].as_f64().unwrap() < 0.1 * row["copy_last"].as_f64().unwrap(), "{row}");
    }
    for probe in latents["probe"].as_array().unwrap() {
        assert!(probe["rmse"].as_f64().unwrap() < 3.0, "{probe}");
    }
    for kind in ["teleport", "recolour"] {
        assert!(latents["surprise"][kind].as_f64().unwrap() > 0.99, "{latents}");
    }
}

#[test]
fn what_cannot_be_planned_is_told_in_a_line() {
    let bench = Bench::new();
    let folder = model(&bench, "world", 1.0);
    let plan = |more: &[&str]| vljepa([&["plan", "--model", folder.as_str()], more].concat());
    fails(&mut plan(&["--goal", "1,2,3"]), &["--goal has 3 numbers, a state has 2"]);
    fails(&mut plan(&["--goal", "500,40"]), &["500", "14..209"]);
    fails(&mut plan(&["--start", "112,150"]), &["inside of the wall"]);
    fails(&mut plan(&["--execute", "6"]), &["6 of 5 blocks"]);
    fails(&mut plan(&["--env", "push-t"]), &["trained in two-room, not in push-t"]);
    fails(&mut plan(&["--env", "chess"]), &["chess"]);
    let one = bench.text("one");
    fails(&mut plan(&["--out", &one, "--energy", &one]), &["--out and --energy name one file"]);
    fails(&mut vljepa(["worlds", "guide", "--model", "/nowhere/model"]), &["/nowhere/model"]);
    fails(&mut vljepa(["plan", "--model", &bench.text("pictures")]), &["pictures"]);
    fails(&mut vljepa(["plan", "--model", &bench.text("model")]), &["lewm"]);
    misused(&mut plan(&["--guide", "0"]), &["`own`, `none` or a number of episodes"]);
    misused(&mut plan(&["--samples", "0"]), &["--samples"]);
    misused(&mut vljepa(["eval", "two-room", "--anywhere", "--offset", "25"]), &["--offset"]);
    // No row of an episode of at most 100 steps has one 101 steps later.
    let world = world_by_name("two-room").unwrap();
    assert!(drawn(world.as_ref(), vljepa::plan::Task::Offset(101), 1, 1).is_err());
    let device = vljepa::open_device("cpu").unwrap();
    let (agent, _) = Opened::model(&device, Some(folder.as_ref()), world.as_ref()).unwrap();
    let episodes = held_out(world.as_ref(), 2, 1).unwrap();
    let none = GuideOptions { places: 0, ..GuideOptions::default() };
    assert!(Guide::new(&agent, world.as_ref(), &episodes, none).is_err());
}

#[test]
fn worlds_are_listed_played_drawn_and_recorded() {
    let bench = Bench::new();
    let listed = json(["worlds", "list"]);
    let names: Vec<&str> = listed["worlds"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["two-room", "push-t", "sprite-rooms"]);
    let film = bench.text("played.webp");
    let played: Value = json(["worlds", "play", "--episodes", "5", "--seed", "3", "--out", &film]);
    assert_eq!((&played["reached"], &played["episodes"]), (&5.into(), &5.into()));
    assert!(frames(&bench, "played.webp") > 12);
    for env in names {
        let picture = bench.text("drawn.png");
        json(["worlds", "render", "--env", env, "--side", "64", "--out", &picture]);
        let size = std::fs::read(&picture).unwrap()[16..24].to_vec();
        assert_eq!(size, [0, 0, 0, 64, 0, 0, 0, 64], "{env}");
    }
    std::fs::create_dir(bench.path("shards")).unwrap();
    let shards = bench.text("shards");
    let wrote = json(["worlds", "collect", "--policy", "data", "--episodes", "7", "--shard", "3", "--out", &shards]);
    assert_eq!(wrote["files"].as_array().unwrap().len(), 3);
    let read = vljepa_worlds::trajectories::read_shards(&bench.path("shards")).unwrap();
    assert_eq!((read.episodes.len() as u64, read.total_steps() as u64), (7, wrote["steps"].as_u64().unwrap()));
    fails(&mut vljepa(["worlds", "play", "--options", "{"]), &["--options", "not JSON"]);
    fails(&mut vljepa(["worlds", "play", "--options", r#"{"door": 5}"#]), &["door is 5", "28 to 196"]);
    fails(&mut vljepa(["worlds", "render", "--state", "112,150", "--out", "/nowhere/x.png"]), &["/nowhere"]);
}
