//! Told to stop, it finishes what is under way: much of it at once.

use crate::support::tunnel::open;
use crate::support::{Cloakroom, Ending, Request, Stage};

#[test]
fn a_thousand_requests_and_a_hundred_tunnels_under_way_are_finished_before_the_end() {
    let stage = Stage::open();
    let mut house = Cloakroom::before(stage.address()).start();
    let mut tunnels: Vec<_> = (0..100).map(|_| open(&house, &stage, "")).collect();
    let mut requests: Vec<_> = (0..1000)
        .map(|number| {
            let mut visitor = house.dial();
            visitor.send(format!("GET /{number} HTTP/1.1\r\nhost: a\r\n\r\n"));
            let mut app = stage.accept();
            assert_eq!(Request::from(&mut app).path(), format!("/{number}"));
            (visitor, app)
        })
        .collect();
    // Of every other answer the head and a part have left already.
    for (visitor, app) in requests.iter_mut().step_by(2) {
        app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-session-set-a: b\r\n\r\ndo");
        assert_eq!(visitor.answer_head().status, 200);
        assert_eq!(visitor.exactly(2).unwrap(), b"do");
    }
    house.terminate();
    for (visitor, app, _) in &mut tunnels {
        assert_eq!(visitor.ending(), Ending::Over, "a quiet tunnel ends");
        assert_eq!(app.ending(), Ending::Over);
    }
    for (number, (visitor, app)) in requests.iter_mut().enumerate() {
        if number % 2 == 0 {
            app.send("ne");
            assert_eq!(visitor.exactly(2).unwrap(), b"ne", "{number}");
        } else {
            app.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-session-set-a: b\r\n\r\ndone");
            let answer = visitor.answer(false);
            assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{number}");
            assert_eq!(answer.header("connection").as_deref(), Some("close"), "{number}: told to come anew");
        }
        assert_eq!(visitor.ending(), Ending::Over, "{number}");
    }
    drop(requests);
    assert_eq!(house.exit().code(), Some(0));
}
