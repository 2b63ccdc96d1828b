//! From the command line to the exit code: parse, build the `App`, run under Ctrl-C, report what went wrong once.

use std::ffi::OsString;
use std::panic;

use clap::error::ErrorKind;

use crate::api::{TokenClaims, looks_like_key};
use crate::app::{self, App};
use crate::cli::{self, AuditFormat, Cli, Command, GlobalArgs, KeysCommand, OutputFormat};
use crate::commands;
#[cfg(all(unix, feature = "gateway"))]
use crate::commands::ProxyRequest;
use crate::env::Env;
use crate::exit::{Exit, Problem};
use crate::ui::{self, Printer};
use crate::{process, signals};

/// Runs the program with the process's arguments and environment. A panic is a failure, with the terminal restored by
/// what was unwound.
pub fn main() -> Exit {
    process::harden();
    ui::report_panics_briefly();
    panic::catch_unwind(start).unwrap_or(Exit::Failed)
}

fn start() -> Exit {
    let args: Vec<OsString> = std::env::args_os().collect();
    // Scripts ask for the version often, and building every command's definition is most of the time it takes.
    if let [_, only] = args.as_slice()
        && (only == "--version" || only == "-V")
        && let Ok(printer) = app::printer(&GlobalArgs::default(), false, &Env::default())
    {
        let _ = printer.data(cli::VERSION);
        return Exit::Done;
    }
    if let Some(request) = commands::completion_request(&args) {
        return complete(request);
    }
    #[cfg(all(unix, feature = "gateway"))]
    let (args, proxy_for) = match commands::proxy_request(args) {
        ProxyRequest::None(args) => (args, None),
        ProxyRequest::Serve(process, args) => (args, Some(process)),
        ProxyRequest::Detach(args) => return commands::detach_proxy(args),
    };
    let wants_json = wants_json(&args);
    let env = Env::from_process();
    let keys = api_keys_in_arguments(&args);
    #[cfg_attr(not(all(unix, feature = "gateway")), allow(unused_mut))]
    let mut cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return report_parse_error(commands::explain_usage(error, args), wants_json, &keys),
    };
    #[cfg(all(unix, feature = "gateway"))]
    if let Command::Exec(exec) = &mut cli.command {
        exec.proxy_for = proxy_for;
    }
    let json = cli.global.json
        || match &cli.command {
            Command::Run(run) => run.output == OutputFormat::Json,
            Command::Keys(KeysCommand::Audit(audit)) => audit.format != AuditFormat::Text,
            _ => false,
        };
    let global = cli.global.clone();
    let (result, printer) = match env {
        Err(error) => (Err(Problem::from_error(&error.into())), None),
        Ok(env) => match App::new(cli.global, json, env) {
            Err(error) => (Err(Problem::from_error(&error)), None),
            Ok(app) => (run(&app, cli.command), Some(app.printer)),
        },
    };
    match result {
        Ok(exit) => exit,
        Err(problem) if matches!(problem.exit, Exit::Done | Exit::Interrupted) => problem.exit,
        Err(problem) => {
            report(printer.or_else(|| app::printer(&global, json, &Env::default()).ok()), &problem);
            problem.exit
        }
    }
}

/// Answers a shell that completes a command line. Tab shows no error: without an answer there are no candidates.
fn complete(request: &[OsString]) -> Exit {
    let Ok(env) = Env::from_process() else { return Exit::Failed };
    let Ok(printer) = app::printer(&GlobalArgs::default(), false, &env) else { return Exit::Failed };
    match printer.bytes(commands::complete(request, &env).as_bytes()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}

/// Without a printer only the exit code reports the error.
fn report(printer: Option<Printer>, problem: &Problem) {
    if let Some(printer) = printer {
        let Problem { exit, message, hint, members } = problem;
        printer.error(exit.name(), *exit as u8, message, hint.as_deref(), members);
    }
}

fn run(app: &App, command: Command) -> Result<Exit, Problem> {
    let handles_signals = handles_signals(&command);
    if is_service(&command) {
        ui::log_service(app.global.verbose);
    } else if app.global.verbose > 1 {
        ui::log_to_stderr();
    }
    if !handles_signals {
        signals::force_exit_on_signal(&app.printer);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::new(Exit::Failed, format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            result = commands::run(app, command) => result,
            () = signals::interrupted(), if !handles_signals => {
                commands::undo_unfinished_signin(app).await;
                Ok(Exit::Interrupted)
            }
        }
    });
    app.printer.restore_terminal();
    // A keyring call that hangs must not hold up the end: its thread goes with the process.
    runtime.shutdown_background();
    result.map_err(|error| Problem::from_error(&error))
}

/// Whether a command is a service: it runs until a signal stops it, and shuts down by itself.
fn is_service(command: &Command) -> bool {
    #[cfg(feature = "gateway")]
    if let Command::Gateway(crate::cli::GatewayCommand::Serve(_)) | Command::Proxy(_) = command {
        return true;
    }
    let _ = command;
    false
}

/// Whether a command decides itself what a signal means: a service, and the proxy of a program, for which the signals are meant.
fn handles_signals(command: &Command) -> bool {
    #[cfg(all(unix, feature = "gateway"))]
    if let Command::Exec(exec) = command {
        return exec.proxy_for.is_some();
    }
    is_service(command) || (cfg!(not(unix)) && matches!(command, Command::Exec(_)))
}

/// Whether errors are JSON, decided before the arguments are parsed.
fn wants_json(args: &[OsString]) -> bool {
    let json = |arg: &OsString| arg == "--json" || arg == "--output=json";
    args.iter().any(json) || args.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

/// API keys and tokens in the arguments: no error may repeat them.
fn api_keys_in_arguments(args: &[OsString]) -> Vec<String> {
    let texts = args.iter().filter_map(|arg| arg.to_str());
    let parts = texts.flat_map(|arg| [Some(arg), arg.split_once('=').map(|(_, value)| value)]);
    let is_secret = |text: &&str| looks_like_key(text) || TokenClaims::read(text).is_ok();
    parts.flatten().map(str::trim).filter(is_secret).map(str::to_owned).collect()
}

/// Help and version go to stdout and are no errors; everything else is wrong usage.
fn report_parse_error(error: clap::Error, json: bool, keys: &[String]) -> Exit {
    let wanted = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if (json || !keys.is_empty()) && !wanted {
        let mut text = error.render().to_string();
        for key in keys {
            text = text.replace(key, "****");
        }
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = match keys {
            [] => "see: ollama-auth --help",
            _ => "a key typed as an argument stays in the shell's history: revoke it\nsee: ollama-auth --help",
        };
        let problem = Problem::new(Exit::Usage, message).hint(hint);
        report(app::printer(&GlobalArgs::default(), json, &Env::default()).ok(), &problem);
        return Exit::Usage;
    }
    // This fails only on a closed pipe, and then nothing reads the error.
    let _ = error.print();
    if wanted { Exit::Done } else { Exit::Usage }
}
