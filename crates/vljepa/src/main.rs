//! The command `vljepa`: process set-up; the verbs are in `cli`.

mod cli;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_loader();
    // A panic is a bug of ours and still deserves one line instead of a backtrace.
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        complain(&format!("internal error{place}: {what}; please report it with the command that shows it"));
    }));
    // Without a handler a signal would leave the temporary files of writes under way.
    let interrupted = ctrlc::set_handler(|| {
        vljepa::embed::files::remove_unfinished();
        complain("interrupted");
        std::process::exit(130);
    });
    if let Err(error) = interrupted {
        complain(&format!("signals are not handled, an interrupt may leave .vljepa-*.tmp: {error}"));
    }
    match std::panic::catch_unwind(cli::main) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // Whoever reads us has seen enough, as in `vljepa … | head -1`.
        Ok(Err(failure)) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            complain(&failure.line(cli::command()));
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// One line on stderr, whatever the message holds; never fails.
fn complain(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "error: {}", cli::printable(&line));
}

/// Mesa's device-selection layer asks display servers which GPU is theirs, and complains on stderr where there is none.
/// Which adapter is used is this program's own choice, so the layer is not needed.
fn quiet_loader() {
    if cfg!(target_os = "linux") && std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: this is the first thing that the process does; no other thread exists that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
