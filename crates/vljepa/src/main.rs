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
        if cli::stop::interrupt() {
            return;
        }
        vljepa::embed::files::remove_unfinished();
        print_error("interrupted");
        std::process::exit(130);
    });
    if let Err(error) = interrupted {
        print_error(&format!("cannot handle signals: {error}; an interrupt may leave files .vljepa-*.tmp behind"));
    }
    #[cfg(unix)]
    tell_of_cut_files();
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

/// Lets the process say what has happened when the system ends it (SIGBUS) because a part of a mapped file is gone.
#[cfg(unix)]
fn tell_of_cut_files() {
    const LINE: &[u8] = b"error: a file that was being read became shorter, or its disk failed; \
        run it again when nothing writes to the file, and replace files by renaming others\n";
    let end = |info: &libc::siginfo_t| {
        // Memory that is misaligned or broken, and a signal that somebody sent, keep their own end.
        if info.si_code == libc::BUS_ADRERR {
            // SAFETY: the bytes live as long as the program. Nobody can be told that standard error is closed.
            unsafe {
                libc::write(libc::STDERR_FILENO, LINE.as_ptr().cast(), LINE.len());
                libc::_exit(1);
            }
        }
    };
    // SAFETY: the action calls nothing but `write` and `_exit`, which a signal handler may call. Temporary files stay for the
    // next run to remove.
    if let Err(error) = unsafe { signal_hook_registry::register_sigaction(libc::SIGBUS, end) } {
        print_error(&format!(
            "cannot handle signals: {error}; a file that is cut while it is read may end this without a word"
        ));
    }
}

/// Turns off Mesa's device-selection layer. It asks the display server for its GPU and warns on stderr if there is no
/// display server; this program selects the adapter itself.
fn disable_device_selection_layer() {
    if cfg!(target_os = "linux") && std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: `main` calls this first, so no other thread can read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
