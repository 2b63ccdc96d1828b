//! A fixed clock for the real program, which asks the C library: a preloaded library replaces its functions.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    sync::Mutex,
};

use jiff::Timestamp;

use super::{cmd::Sandbox, tool};

/// The clock of one process; see [`line`](Self::line).
pub struct SetClock {
    folder: Sandbox,
    file: File,
    /// The second at which it stands still, or by how many it is off while it runs.
    shows: Mutex<Shown>,
    /// What passed without this machine's time passing, in seconds.
    passed: Mutex<i64>,
}

#[derive(Clone, Copy)]
enum Shown {
    Still(i64),
    Off(i64),
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
        let clock = Self { folder, file, shows: Mutex::new(Shown::Off(0)), passed: Mutex::new(0) };
        clock.write(16, 0);
        clock.run_from(seconds);
        clock
    }

    /// It stands still now, for the programs of that sandbox: no time limit ends until it [runs on](Self::run).
    pub fn stopped(sandbox: &mut Sandbox) -> Self {
        let now = Timestamp::now().as_second();
        let clock = Self::at(now);
        clock.set(now);
        clock.give_to(sandbox);
        clock
    }

    /// The programs of that sandbox see this clock.
    pub fn give_to(&self, sandbox: &mut Sandbox) {
        for (name, value) in self.env() {
            sandbox.set_env(name, value);
        }
    }

    /// Somebody sets it: it shows that second from now on, and stands still.
    pub fn set(&self, seconds: i64) {
        *self.shows.lock().expect("an unpoisoned clock") = Shown::Still(seconds);
        self.write(0, seconds);
    }

    /// Somebody sets it: it shows that second now, and runs on.
    pub fn run_from(&self, seconds: i64) {
        let off = seconds - Timestamp::now().as_second();
        *self.shows.lock().expect("an unpoisoned clock") = Shown::Off(off);
        self.write(8, off);
        self.write(0, 0);
    }

    /// It runs on from what it shows.
    pub fn run(&self) {
        self.run_from(self.now());
    }

    /// What it shows.
    pub fn now(&self) -> i64 {
        match *self.shows.lock().expect("an unpoisoned clock") {
            Shown::Still(seconds) => seconds,
            Shown::Off(off) => Timestamp::now().as_second() + off,
        }
    }

    /// So many seconds pass: for the process's other clocks too, which nobody can set.
    pub fn pass(&self, seconds: i64) {
        let mut passed = self.passed.lock().expect("an unpoisoned clock");
        *passed += seconds;
        self.write(16, *passed);
        let shown = *self.shows.lock().expect("an unpoisoned clock");
        match shown {
            Shown::Still(shown) => self.set(shown + seconds),
            Shown::Off(_) => self.run_from(self.now() + seconds),
        }
    }

    /// Time passes until it shows that second, where it stands still.
    pub fn pass_to(&self, seconds: i64) {
        self.pass(seconds - self.now());
        self.set(seconds);
    }

    fn write(&self, at: u64, number: i64) {
        self.file.write_all_at(&number.to_ne_bytes(), at).expect("the clock is set");
    }

    /// The line of shell that gives this clock to the program that follows.
    pub fn line(&self) -> String {
        let [(_, library), (_, clock)] = self.env();
        format!("LD_PRELOAD='{}'; SET_CLOCK='{}'; export LD_PRELOAD SET_CLOCK", library.display(), clock.display())
    }

    fn env(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.folder.path("set_clock.so")), ("SET_CLOCK", self.folder.path("clock"))]
    }
}
