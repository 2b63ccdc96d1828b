//! A fixed clock for the real program, which asks the C library: a preloaded library replaces its functions.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
};

use jiff::Timestamp;

use super::{cmd::Sandbox, tool};

/// The clock of one process; see [`line`](Self::line).
pub struct SetClock {
    folder: Sandbox,
    file: File,
}

impl SetClock {
    /// It shows `seconds` since 1970 now, and runs on.
    pub fn at(seconds: i64) -> Self {
        let folder = Sandbox::new();
        let (source, library) = (folder.path("set_clock.c"), folder.path("set_clock.so"));
        fs::write(&source, include_str!("set_clock.c")).expect("the source of the library");
        let built =
            Command::new(tool("cc")).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("a compiler").success());
        let file = File::options().create(true).truncate(true).write(true).open(folder.path("clock")).expect("a file");
        let clock = Self { folder, file };
        clock.write(0, 0);
        clock.write(8, seconds - Timestamp::now().as_second());
        clock
    }

    /// It shows that second from now on, and stands still.
    pub fn set(&self, seconds: i64) {
        self.write(0, seconds);
    }

    fn write(&self, at: u64, number: i64) {
        self.file.write_all_at(&number.to_ne_bytes(), at).expect("the clock is set");
    }

    /// The line of shell that gives this clock to the program that follows.
    pub fn line(&self) -> String {
        let (library, clock) = (self.folder.path("set_clock.so"), self.folder.path("clock"));
        format!("LD_PRELOAD='{}'; SET_CLOCK='{}'; export LD_PRELOAD SET_CLOCK", library.display(), clock.display())
    }
}
