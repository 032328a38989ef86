//! Running other programs: what is run is printed, and a failure is one line.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::verb::{Failure, Result, failed};

/// The command as one would type it.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| {
        let arg = arg.to_string_lossy();
        if arg.is_empty() || arg.contains(|c: char| c.is_whitespace() || "'\"$*|&;<>()".contains(c)) {
            format!("'{}'", arg.replace('\'', "'\\''"))
        } else {
            arg.into_owned()
        }
    }));
    words.join(" ")
}

/// Runs to the end with our stdin, stdout and stderr; an exit status other than 0 is a failure.
pub fn run(command: &mut Command) -> Result {
    match status(command)? {
        0 => Ok(()),
        code => Err(failed(format!("`{}` failed (exit status {code})", shown(command)))),
    }
}

/// Runs to the end with our stdin, stdout and stderr and gives the exit status (1 for a signal).
pub fn status(command: &mut Command) -> Result<u8> {
    eprintln!("$ {}", shown(command));
    quiet_status(command)
}

/// As [`status`], without printing the command.
pub fn quiet_status(command: &mut Command) -> Result<u8> {
    let status = command.status().map_err(|e| not_started(command, &e))?;
    Ok(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
}

/// Runs quietly and gives stdout; the failure holds the last line of stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| not_started(command, &e))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&out.stderr);
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
    Err(failed(format!("`{}` failed: {}", shown(command), last.unwrap_or("it said nothing").trim())))
}

/// Whether the command runs and succeeds; its output goes nowhere.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The full path of a program, as the shell would find it.
pub fn on_path(program: &str) -> Option<PathBuf> {
    on_path_in(program, &std::env::var_os("PATH")?)
}

fn on_path_in(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|dir| dir.join(format!("{program}{}", std::env::consts::EXE_SUFFIX)))
        .find(|file| is_executable(file))
}

#[cfg(unix)]
fn is_executable(file: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &std::path::Path) -> bool {
    file.is_file()
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    failed(format!("cannot run `{}`: {error}", command.get_program().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("cargo");
        command.args(["nextest", "run", "-E", "test(a b)"]);
        assert_eq!(shown(&command), "cargo nextest run -E 'test(a b)'");
    }

    #[test]
    fn a_program_that_is_not_there_is_one_line() {
        let error = run(&mut Command::new("no-such-program-anywhere"));
        let Err(Failure::Failed(message)) = error else {
            panic!("it ran");
        };
        assert!(message.starts_with("cannot run `no-such-program-anywhere`"));
        assert!(!message.contains('\n'));
    }

    #[cfg(unix)]
    #[test]
    fn only_executable_files_count_as_programs() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tool");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(on_path_in("tool", dir.path().as_os_str()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(on_path_in("tool", dir.path().as_os_str()), Some(file));
    }

    #[cfg(unix)]
    #[test]
    fn a_failing_program_reports_its_last_line() {
        let error = output(Command::new("sh").args(["-c", "echo one >&2; echo two >&2; exit 3"]));
        let Err(Failure::Failed(message)) = error else {
            panic!("it succeeded");
        };
        assert!(message.ends_with("failed: two"), "{message}");
        assert_eq!(status(Command::new("sh").args(["-c", "exit 7"])).unwrap(), 7);
    }
}
