//! A real PostgreSQL in a temporary folder. It listens on a Unix socket in there and nowhere else, and ends with the test process.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// The role that owns everything.
const ROLE: &str = "gate";

/// A role that a test may make, which has to give its password.
pub const LOCKED: &str = "locked";

/// Runs the server until its standard input ends, which it does when the test process ends in whatever way. Until then a line ends it
/// (`INT`, `KILL`), starts it, or freezes and thaws it.
const KEEPER: &str = r#"
start() {
    "$1/postgres" -D "$2/data" -k "$2" -c listen_addresses='' -c fsync=off -c max_connections=200 -c log_min_messages=warning \
        >>"$2/log" 2>&1 &
    server=$!
}
start "$1" "$2"
while read -r word; do
    case $word in
        start) start "$1" "$2" ;;
        STOP | CONT) kill -"$word" $server $(cat /proc/$server/task/$server/children) ;;
        KILL)
            # A server that starts while sessions of the one before are left refuses to.
            sessions=$(cat /proc/$server/task/$server/children)
            kill -KILL $server $sessions
            wait $server
            for session in $sessions; do
                while grep -qs '^State:.[^ZX]' /proc/$session/status; do sleep 0.01; done
            done
            ;;
        *) kill -"$word" $server && wait $server ;;
    esac
    echo done
done
kill -INT $server
wait $server
rm -rf "$2"
"#;

/// A server.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// Ends when its input is closed.
    keeper: Mutex<Child>,
}

impl Postgres {
    /// The one that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One of its own.
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
        // PostgreSQL refuses to run as root.
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let data = folder.join("data");
        let mut init = unprivileged(&programs.join("initdb"));
        init.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username", ROLE, "-D"]).arg(&data);
        run(&mut init);
        // This role alone needs a password.
        let rules = folder.join("data/pg_hba.conf");
        let usual = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, format!("local all {LOCKED} scram-sha-256\n{usual}")).unwrap();
        Self::run(folder, programs)
    }

    /// A standby of it, which follows it.
    pub fn standby(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap().keep();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let mut copy = unprivileged(&self.programs.join("pg_basebackup"));
        copy.arg("-h").arg(&self.folder).args(["-U", ROLE, "--checkpoint=fast", "--no-sync", "-R", "-D"]);
        run(copy.arg(folder.join("data")));
        Self::run(folder, self.programs.clone())
    }

    fn run(folder: PathBuf, programs: PathBuf) -> Self {
        let mut keeper = unprivileged(Path::new("sh"));
        keeper.arg("-c").arg(KEEPER).arg("sh").arg(&programs).arg(&folder);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { folder, programs, keeper: Mutex::new(keeper) };
        server.wait();
        server
    }

    /// From now on each commit waits until a standby has it. Waits until one follows.
    pub fn wait_for_standby(&self) {
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let end = Instant::now() + Duration::from_secs(120);
        while self.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
            assert!(Instant::now() < end, "no standby follows");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote()"), "t");
    }

    /// The address of a database at `other`, and after that here.
    pub fn address_behind(&self, other: &Self, database: &str) -> String {
        let name = database.split_once("@/").unwrap().1.split('?').next().unwrap();
        let places = [other, self].map(|server| server.folder.display().to_string().replace('/', "%2F"));
        format!("postgres://{ROLE}@{}/{name}", places.join(","))
    }

    /// Ends it: `INT` as an administrator would, `KILL` as a power cut. Its data stays.
    pub fn end(&self, signal: &str) {
        self.tell(signal);
    }

    /// Freezes it with all its sessions: it answers nothing, and closes nothing.
    pub fn freeze(&self) {
        self.tell("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.tell("CONT");
    }

    /// Starts it again after [`end`](Self::end), and waits until it answers.
    pub fn start_again(&self) {
        self.tell("start");
        self.wait();
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.stdin.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = [0; 5];
        keeper.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let asked = self.client("pg_isready").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
            if asked.success() {
                return;
            }
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < end, "PostgreSQL does not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gate{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://{ROLE}@/{name}?host={}", self.folder.display())
    }

    /// What `psql` prints, without headings, for statements at the database of that name or address.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let name = database.rsplit('/').next().unwrap();
        let name = database.split_once("@/").map_or(name, |(_, rest)| rest.split('?').next().unwrap());
        let mut psql = self.client("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", statements]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Its folder, as in the addresses of its databases.
    pub fn folder(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    /// Begins statements at a database in a session of its own, which lasts as long as the process.
    pub fn session(&self, database: &str, statements: &str) -> Child {
        let name = database.split_once("@/").unwrap().1.split('?').next().unwrap();
        let mut psql = self.client("psql");
        psql.args(["-X", "-q", "-d", name, "-c", statements]).stdout(Stdio::null()).stderr(Stdio::null());
        psql.spawn().unwrap()
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-h").arg(&self.folder).args(["-U", ROLE]).stdin(Stdio::null());
        command
    }
}

/// The folder of the newest server that is installed: Debian has it outside of PATH.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::env::split_paths(&path).chain(debian);
    let has_all = |folder: &PathBuf| ["postgres", "initdb", "psql"].iter().all(|name| folder.join(name).exists());
    all.filter(has_all).last().expect("PostgreSQL is not installed: scripts/test installs it")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs it as `postgres` if this is root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    } else {
        command = Command::new(program);
    }
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
