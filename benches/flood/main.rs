//! What a flood does to sessions: nothing to the people who are logged in, and nothing lasting to the memory.
//!
//! The release binary stands before an app of this process. People log in, visitors without a cookie flood it, and
//! then everyone who logged in is asked for: the app must still see each under their own name. `FLOOD_REQUESTS` sets
//! how long each flood is (1,000,000 requests; each ends after 25 seconds all the same). Ends with 1 if any promise
//! was broken.
#![expect(clippy::print_stdout, reason = "the report is what this is for")]
#![expect(clippy::indexing_slicing, reason = "a bench that cannot go on ends, with the place")]
#![expect(clippy::disallowed_methods, reason = "the rules for clock and tasks are for the program")]

mod app;
mod cloakroom;
mod crowd;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use ::cloakroom::testing::clock;
use tokio::runtime::{Builder, LocalOptions};

use cloakroom::Cloakroom;
use crowd::{Flood, Person};

/// Logged in before a flood.
const PEOPLE: usize = 10_000;
/// Who log in while it lasts.
const NEWCOMERS: usize = 1_000;
/// A flood ends by then, however many requests that were.
const FLOOD_TIME: Duration = Duration::from_secs(25);
/// `[store] max_bytes` of the second flood, in MiB.
const SMALL: u64 = 64;
/// No record takes less, in bytes.
const LEAST_RECORD: u64 = 320;

fn main() -> io::Result<ExitCode> {
    let requests =
        std::env::var("FLOOD_REQUESTS").ok().and_then(|text| text.replace(['_', ','], "").parse().ok());
    let requests = requests.unwrap_or(1_000_000).max(1);
    let app = app::start()?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        println!("act                                    requests  seconds   rate/s");
        let mut promises = Promises::default();
        nothing_kept(app, requests, &mut promises).await?;
        a_field_each(app, requests, &mut promises).await?;
        println!();
        for (kept, promise) in &promises.0 {
            println!("{} {promise}", if *kept { "kept   " } else { "BROKEN " });
        }
        Ok(ExitCode::from(u8::from(promises.0.iter().any(|(kept, _)| !kept))))
    })
}

/// What was promised, and whether it was kept.
#[derive(Default)]
struct Promises(Vec<(bool, String)>);

impl Promises {
    fn that(&mut self, kept: bool, promise: String) {
        self.0.push((kept, promise));
    }

    fn answered(&mut self, flood: &Flood) {
        let (answered, failed) = (flood.answered.get(), flood.failed.get());
        self.that(failed == 0, format!("{answered} requests of the flood were answered, {failed} were not"));
    }
}

/// People log in, and a flood follows that stores nothing.
async fn nothing_kept(app: SocketAddr, requests: usize, promises: &mut Promises) -> io::Result<()> {
    let house = Cloakroom::before(app, "")?;
    let people = log_in(&house, promises).await?;

    let flood = Flood::new(house.address, "/", false, requests);
    let time = Rc::clone(&flood).run().await?;
    row("flood, the app stores nothing", flood.answered.get(), time);
    promises.answered(&flood);

    let kept = known(&house, &people).await?;
    promises.that(kept == PEOPLE, format!("{kept} of {PEOPLE} people are still logged in"));
    let memory = house.peak_mib().unwrap_or(0);
    let stored = house.stop()?;
    promises.that(
        stored == PEOPLE as u64,
        format!(
            "{stored} sessions stored after {PEOPLE} logins and the flood; at most {memory} MiB were used"
        ),
    );
    Ok(())
}

/// The same against an app that keeps something for everyone, in little memory, and people go on logging in.
async fn a_field_each(app: SocketAddr, requests: usize, promises: &mut Promises) -> io::Result<()> {
    // With the limit on new sessions most of them would be refused, and the store would have an easy life.
    let rules = format!(
        "[limits]\nnew_sessions_per_second = \"off\"\n[store]\nkind = \"memory\"\nmax_bytes = \"{SMALL} MiB\"\n"
    );
    let house = Cloakroom::before(app, &rules)?;
    let mut people = log_in(&house, promises).await?;

    let flood = Flood::new(house.address, "/visit", true, requests);
    let newcomers = crowd::log_in(house.address, PEOPLE..PEOPLE + NEWCOMERS, Some(Rc::clone(&flood)));
    let (time, newcomers) = tokio::join!(Rc::clone(&flood).run(), newcomers);
    let (newcomers, longest) = newcomers?;
    row("flood, the app stores a field each", flood.answered.get(), time?);
    promises.answered(&flood);
    let count = newcomers.len();
    promises.that(
        count == NEWCOMERS,
        format!("{count} of {NEWCOMERS} logins during the flood succeeded, the slowest in {longest:.0?}"),
    );
    people.extend(newcomers);

    let kept = known(&house, &people).await?;
    promises.that(kept == people.len(), format!("{kept} of {} people are still logged in", people.len()));
    let memory = house.peak_mib().unwrap_or(0);
    let stored = house.stop()?;
    let visitors = stored.saturating_sub(kept as u64);
    promises.that(
        visitors <= (SMALL << 20) / 2 / LEAST_RECORD,
        format!(
            "{stored} sessions stored, {visitors} of them visitors', within half of {SMALL} MiB; at most {memory} MiB were used"
        ),
    );
    Ok(())
}

async fn log_in(house: &Cloakroom, promises: &mut Promises) -> io::Result<Vec<Person>> {
    let began = clock::instant();
    let (people, _) = crowd::log_in(house.address, 0..PEOPLE, None).await?;
    row("a page and a login each", PEOPLE * 2, began.elapsed());
    let kept = known(house, &people).await?;
    promises.that(kept == PEOPLE, format!("{kept} of {PEOPLE} people logged in"));
    Ok(people)
}

async fn known(house: &Cloakroom, people: &[Person]) -> io::Result<usize> {
    let began = clock::instant();
    let known = crowd::known(house.address, people).await?;
    row("everyone is asked for", people.len(), began.elapsed());
    Ok(known)
}

#[expect(clippy::cast_precision_loss, reason = "a rate of a few millions")]
fn row(act: &str, requests: usize, time: Duration) {
    let seconds = time.as_secs_f64();
    println!("{act:<37} {requests:>9} {seconds:>8.1} {:>8.0}", requests as f64 / seconds);
}
