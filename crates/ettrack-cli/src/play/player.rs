//! Controls how a source is played: pause, single steps and restart.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use ettrack_node::web::Player;
use ettrack_web::{Command, Playback, Session};

use crate::interrupt;

/// Number of frames whose positions are remembered.
const REMEMBERED: usize = 2000;

/// Interval at which a waiting thread checks for a signal.
const WATCH: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    playback: Playback,
    /// Number of frames to show although the source is paused.
    steps: u32,
    /// Whether the source is to be restarted.
    restart: bool,
    /// Whether a viewer has controlled the source. Until then, the first choice of a target starts it.
    steered: bool,
    /// Stamps and positions of the last frames that went to the node.
    fed: VecDeque<(i64, u64)>,
    fed_count: u64,
    worked: u64,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Feed the next frame to the node.
    Frame,
    /// Open the source again from its beginning.
    Restart,
    /// Stop reading.
    End,
}

/// State of the playback. Viewers, the thread that reads the source and the tracking thread share it.
pub struct SourcePlayer {
    is_live: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// Not owned, because the session owns the player by its way to the tracking thread. Otherwise neither would be dropped.
    session: OnceLock<Weak<Session>>,
}

impl SourcePlayer {
    /// Creates a player. A recorded source is paused on its first frame, unless `plays` is true.
    pub fn new(is_live: bool, plays: bool) -> Self {
        let playback = match (is_live, plays) {
            (true, _) => Playback::Live,
            (false, true) => Playback::Playing,
            (false, false) => Playback::Paused,
        };
        Self {
            is_live,
            state: Mutex::new(State {
                playback,
                steps: 1,
                ..State::default()
            }),
            changed: Condvar::new(),
            session: OnceLock::new(),
        }
    }

    /// Shows the state of the playback to the viewers of this session.
    pub fn tell(&self, session: &Arc<Session>) {
        // This is called only once, so it cannot fail.
        let _ = self.session.set(Arc::downgrade(session));
    }

    fn state_of(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state of the playback.
    pub fn state(&self) -> Playback {
        self.state_of().playback
    }

    fn set(&self, state: &mut State, playback: Playback) {
        state.playback = playback;
        if let Some(session) = self.session.get().and_then(Weak::upgrade) {
            session.set_playback(playback);
        }
        self.changed.notify_all();
    }

    /// Waits until the next frame may be fed, not before `due`, or until something else is to be done. Returns what to do.
    pub fn next(&self, due: Instant) -> Next {
        let mut state = self.state_of();
        loop {
            if interrupt::came() {
                return Next::End;
            }
            if std::mem::take(&mut state.restart) {
                return Next::Restart;
            }
            // A recorded source loses no frame, so the node must be done with the frame before.
            let is_done = self.is_live || state.worked >= state.fed_count;
            let now = Instant::now();
            let wait = match state.playback {
                Playback::Live => return Next::Frame,
                Playback::Playing if is_done && due <= now => return Next::Frame,
                Playback::Playing if is_done => due - now,
                Playback::Paused if is_done && state.steps > 0 => {
                    state.steps -= 1;
                    return Next::Frame;
                }
                Playback::Playing | Playback::Paused | Playback::Ended => WATCH,
            };
            (state, _) = self
                .changed
                .wait_timeout(state, wait.min(WATCH))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes the stamp and the position of a frame that is about to be fed.
    pub fn feeds(&self, stamp: i64, frame: u64) {
        let mut state = self.state_of();
        if state.fed.len() == REMEMBERED {
            state.fed.pop_front();
        }
        state.fed.push_back((stamp, frame));
        state.fed_count += 1;
    }

    /// Notes that the frame that was due cannot be read. A paused source gives the next one in its place, so that a viewer who
    /// waits for one frame gets one.
    pub fn skipped(&self) {
        let mut state = self.state_of();
        if state.playback == Playback::Paused {
            state.steps = state.steps.saturating_add(1);
        }
    }

    /// Notes that the source has ended.
    pub fn ended(&self) {
        let mut state = self.state_of();
        self.set(&mut state, Playback::Ended);
    }

    /// Notes that the source was restarted.
    pub fn began(&self) {
        let mut state = self.state_of();
        state.fed.clear();
        let playback = if self.is_live {
            Playback::Live
        } else {
            Playback::Paused
        };
        state.steps = 1;
        self.set(&mut state, playback);
    }
}

impl Player for SourcePlayer {
    fn command(&self, command: &Command) -> Result<String, String> {
        let mut state = self.state_of();
        let begins_anew = state.playback == Playback::Ended && *command == Command::Restart;
        if self.is_live && !begins_anew {
            return Err(
                "a live source cannot be paused or stepped, and restarted only when it has ended"
                    .into(),
            );
        }
        state.steered = true;
        if state.playback == Playback::Ended && *command != Command::Restart {
            return Err("the source is at its end; restart it".into());
        }
        match command {
            Command::Pause => {
                state.steps = 0;
                self.set(&mut state, Playback::Paused);
                Ok("paused".into())
            }
            Command::Resume => {
                self.set(&mut state, Playback::Playing);
                Ok("playing".into())
            }
            Command::Step => {
                state.steps = if state.playback == Playback::Paused {
                    state.steps.saturating_add(1)
                } else {
                    0
                };
                self.set(&mut state, Playback::Paused);
                Ok("one frame further".into())
            }
            Command::Restart => {
                state.restart = true;
                self.changed.notify_all();
                Ok("from the beginning".into())
            }
            Command::Choose { .. } | Command::Stop | Command::Undo | Command::Set(_) => {
                Err("expected pause, resume, step or restart".into())
            }
        }
    }

    fn frame_of(&self, stamp: i64) -> Option<u64> {
        let state = self.state_of();
        let position = state
            .fed
            .binary_search_by_key(&stamp, |(stamp, _)| *stamp)
            .ok()?;
        state.fed.get(position).map(|(_, frame)| *frame)
    }

    fn worked(&self, received: u64) {
        let mut state = self.state_of();
        if state.worked != received {
            state.worked = received;
            self.changed.notify_all();
        }
    }

    fn chosen(&self) {
        let mut state = self.state_of();
        if state.playback == Playback::Paused && !std::mem::replace(&mut state.steered, true) {
            self.set(&mut state, Playback::Playing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_first_frame_of_a_recorded_source_and_waits_for_a_target() {
        let player = SourcePlayer::new(false, false);
        assert_eq!(player.next(Instant::now()), Next::Frame);
        player.feeds(10, 0);
        assert_eq!(player.frame_of(10), Some(0));
        player.worked(1);
        player.chosen();
        assert_eq!(player.state(), Playback::Playing);
        assert_eq!(player.next(Instant::now()), Next::Frame);
        player.command(&Command::Pause).unwrap();
        player.chosen();
        assert_eq!(
            player.state(),
            Playback::Paused,
            "who has steered goes on to steer"
        );
        player.command(&Command::Step).unwrap();
        assert_eq!(player.next(Instant::now()), Next::Frame);
        player.command(&Command::Restart).unwrap();
        assert_eq!(player.next(Instant::now()), Next::Restart);
        player.ended();
        player.command(&Command::Resume).unwrap_err();
    }

    #[test]
    fn a_paused_source_gives_another_frame_in_place_of_one_that_cannot_be_read() {
        let player = SourcePlayer::new(false, false);
        for _ in 0..3 {
            assert_eq!(player.next(Instant::now()), Next::Frame);
            player.skipped();
        }
        assert_eq!(player.next(Instant::now()), Next::Frame);
        player.feeds(10, 3);
        player.worked(1);
        assert_eq!(player.state_of().steps, 0);
    }

    #[test]
    fn refuses_to_pause_a_live_source() {
        let player = SourcePlayer::new(true, false);
        player.command(&Command::Pause).unwrap_err();
        player.command(&Command::Restart).unwrap_err();
        assert_eq!(player.next(Instant::now()), Next::Frame);
        player.ended();
        player.command(&Command::Restart).unwrap();
        assert_eq!(player.next(Instant::now()), Next::Restart);
        player.began();
        assert_eq!(player.state(), Playback::Live);
    }
}
