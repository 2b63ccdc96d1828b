//! Opening a page in the person's browser.

use std::process::Stdio;

use crate::env::keep_secrets_from;

/// Starts the first program that can show `url`, without waiting for it: a browser that hangs must not hang us. It gets
/// neither our streams nor the secrets in our environment.
///
/// # Errors
/// When none could be started.
pub fn open(url: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no program that opens web pages was found");
    for mut command in open::commands(url) {
        keep_secrets_from(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt;
            // Ctrl-C at our prompt is not meant for the browser.
            command.process_group(0);
        }
        match command.spawn() {
            Ok(mut child) => {
                // Waited for on the side, so that none is left behind as a zombie while we wait for the approval.
                std::thread::spawn(move || child.wait());
                return Ok(());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
