//! The command `vljepa`: sets up the process and reports failures. The verbs are in `cli`.

mod cli;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    disable_device_selection_layer();
    // A panic is a bug in this program; report it in one line instead of a backtrace.
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        print_error(&format!("internal error{place}: {what}; please report it with the command that shows it"));
    }));
    // Without a handler, a signal would leave temporary files of unfinished writes behind.
    let interrupted = ctrlc::set_handler(|| {
        vljepa::embed::files::remove_unfinished();
        print_error("interrupted");
        std::process::exit(130);
    });
    if let Err(error) = interrupted {
        print_error(&format!("cannot handle signals: {error}; an interrupt may leave files .vljepa-*.tmp behind"));
    }
    match std::panic::catch_unwind(cli::main) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        // The reader of the output has closed it, as in `vljepa … | head -1`.
        Ok(Err(failure)) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            print_error(&failure.line(cli::command()));
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints an error as one line on stderr, without control characters; never fails.
fn print_error(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "error: {}", cli::printable(&line));
}

/// Turns off Mesa's device-selection layer. It asks the display server for its GPU and warns on stderr if there is no
/// display server; this program selects the adapter itself.
fn disable_device_selection_layer() {
    if cfg!(target_os = "linux") && std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: `main` calls this first, so no other thread can read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
