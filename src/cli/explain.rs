//! `cloakroom explain`: what would become of a request, and why. The cloakroom that runs is asked, since it alone knows
//! its sessions; where none answers, the configuration is all that is looked at, and that is said.

use std::{io::Read as _, net::IpAddr, path::Path, process::ExitCode, sync::Arc};

use bytes::Bytes;
use serde_json::Value;

use super::{FAILED, WRONG, print, remote::RemoteAdmin, request_text::RequestText};
use crate::{admin::RequestQuestion, app, config::Config, plan::Plan, proxy, tasks};

/// What is asked about a request.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArguments {
    /// A request: raw, as `curl -v` shows it, a browser's "copy as cURL", or its list of HTTP/2 headers; `-` for standard
    /// input
    #[arg(value_name = "REQUEST_FILE")]
    request: std::path::PathBuf,
    /// The address that it comes from
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    from: IpAddr,
    /// It comes by https; so does a curl command for an https URL
    #[arg(long)]
    https: bool,
    /// The address of the listener that it comes to, as `[[listen]]` has it
    #[arg(long, value_name = "ADDRESS")]
    listener: Option<String>,
}

/// Explains the request.
pub(super) fn explain(file: &Path, asked: &ExplainArguments, json: bool) -> ExitCode {
    let request = &asked.request;
    let read = if request == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        std::fs::read(request)
    };
    let text = match read {
        Ok(text) => text,
        Err(error) => {
            anstream::eprintln!("error: cannot read {}: {error}", request.display());
            return ExitCode::from(FAILED);
        }
    };
    let read = match RequestText::read(&text) {
        Ok(read) => read,
        Err(error) => return wrong(request, &error.to_string()),
    };
    let config = match Config::load(file) {
        Ok((config, _)) => config,
        Err(mistakes) => {
            print(&mistakes);
            return ExitCode::from(WRONG);
        }
    };
    let question = RequestQuestion {
        raw: Bytes::from(read.raw),
        from: asked.from,
        https: asked.https || read.https,
        listener: asked.listener.clone(),
    };
    let remote = RemoteAdmin::with(config.clone());
    match remote.explain(&question) {
        Ok(answer) if answer.status == 200 => show(&answer.json, json, None),
        Ok(answer) if answer.status == 400 => wrong(request, &answer.detail()),
        Ok(answer) => by_file(file, &config, &question, json, &answer.detail()),
        Err(silent) => by_file(file, &config, &question, json, &silent.to_string()),
    }
}

fn wrong(request: &Path, why: &str) -> ExitCode {
    anstream::eprintln!("error: {}: {why}", request.display());
    ExitCode::from(WRONG)
}

/// By the configuration alone; `silent`: why nobody is asked who knows more.
fn by_file(file: &Path, config: &Config, question: &RequestQuestion, json: bool, silent: &str) -> ExitCode {
    let plan = match Plan::build(config) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            anstream::eprintln!("error: {error}\n  --> {}", file.display());
            return ExitCode::from(WRONG);
        }
    };
    let arrival = match app::arrival(config, question) {
        Ok(arrival) => arrival,
        Err(why) => {
            anstream::eprintln!("error: {why}");
            return ExitCode::from(WRONG);
        }
    };
    let Some(explained) = tasks::at_once(proxy::explain(&plan, &question.raw, (arrival, false))) else {
        anstream::eprintln!("error: the session store does not answer");
        return ExitCode::from(FAILED);
    };
    match explained
        .map_err(|error| error.to_string())
        .and_then(|explanation| serde_json::to_value(explanation).map_err(|error| error.to_string()))
    {
        Ok(explanation) => show(&explanation, json, Some(silent)),
        Err(why) => wrong(Path::new("the request"), &why),
    }
}

fn show(explanation: &Value, json: bool, silent: Option<&str>) -> ExitCode {
    if json {
        let silent = silent.map(|why| format!("sessions and servers: {why}"));
        let (findings, head) = (explanation.get("findings"), explanation.get("head"));
        let all = serde_json::json!({ "findings": findings, "head": head, "not_looked_at": silent });
        anstream::println!("{all:#}");
        return ExitCode::SUCCESS;
    }
    if let Some(why) = silent {
        anstream::eprintln!(
            "note: this is what {} says alone. Sessions, and the state of servers, were not looked at: {why}",
            "the configuration"
        );
    }
    for finding in explanation["findings"].as_array().into_iter().flatten() {
        let text = |place: usize| finding[place].as_str().unwrap_or_default();
        anstream::println!("{:9} {}", text(0), text(1));
    }
    if let Some(head) = explanation["head"].as_str() {
        anstream::println!("\nthe app would get:\n\n{}", head.replace("\r\n", "\n"));
    }
    ExitCode::SUCCESS
}
