//! `cloakroom explain`: what would become of a request, and why.

use std::{io::Read as _, net::IpAddr, path::Path, process::ExitCode, sync::Arc};

use super::{FAILED, WRONG, print};
use crate::{
    config::Config,
    listen::{PeerName, RequestArrival},
    plan::Plan,
    proxy, tasks,
};

/// Explains the request in `request` (`-`: standard input), as if it came from `from`.
pub(super) fn explain(file: &Path, request: &Path, from: IpAddr) -> ExitCode {
    let config = match Config::load(file) {
        Ok((config, _)) => config,
        Err(mistakes) => {
            print(&mistakes);
            return ExitCode::from(WRONG);
        }
    };
    let raw = if request == Path::new("-") {
        let mut raw = Vec::new();
        std::io::stdin().read_to_end(&mut raw).map(|_| raw)
    } else {
        std::fs::read(request)
    };
    let raw = match raw {
        Ok(raw) => raw,
        Err(error) => {
            anstream::eprintln!("error: cannot read {}: {error}", request.display());
            return ExitCode::from(FAILED);
        }
    };
    let plan = match Plan::build(&config) {
        Ok(plan) => Arc::new(plan),
        Err(error) => {
            anstream::eprintln!("error: {error}\n  --> {}", file.display());
            return ExitCode::from(WRONG);
        }
    };
    let Some(explained) =
        tasks::at_once(proxy::explain(&plan, &raw, RequestArrival::from(PeerName::Ip(from))))
    else {
        anstream::eprintln!("error: the session store does not answer");
        return ExitCode::from(FAILED);
    };
    match explained {
        Ok(explanation) => {
            for (what, finding) in &explanation.findings {
                anstream::println!("{what:9} {finding}");
            }
            if let Some(head) = explanation.head {
                anstream::println!("\nthe app would get:\n\n{}", head.replace("\r\n", "\n"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            anstream::eprintln!("error: {}: {error}", request.display());
            ExitCode::from(WRONG)
        }
    }
}
