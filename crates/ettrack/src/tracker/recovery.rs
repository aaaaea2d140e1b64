//! Deciding that a target is lost, searching for it, and deciding that it is back. docs/lost.md describes it for users.
//!
//! [`Recovery::track`] is called once per frame. It searches the frame, judges what was seen, moves the family's loop and
//! says what to report. Without doubt about the target that is one look and the family's own rules.

use super::confidence::Confidence;
use crate::follower::{Candidate, Follower, Pose, SearchRequest, StageTimings, TrackState};
use crate::frame::Frame;
use crate::model::ModelError;
use crate::model::lost::{Features, LostSettings};

/// Weight of a new frame's motion in the mean motion.
const MOTION_RATE: f64 = 0.3;

/// A candidate at most this many mean sides away from the one before it is in the same place.
const SAME_PLACE: f64 = 1.0;

/// What to report of a frame, and where to look in the next one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Answer {
    /// The network's box that was judged; without a usable one, the pose from which the frame was searched.
    pub judged: Pose,
    /// The pose to report.
    pub reported: Pose,
    /// The pose from which the next frame is searched.
    pub next: Pose,
    pub state: TrackState,
    pub confidence: f32,
}

/// The target-lost logic of one tracker.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    settings: LostSettings,
    /// Side of the widest search region relative to the usual one, for targets that move fast.
    search_scale: f64,
    confidence: Confidence,
    /// Mean motion of the target from frame to frame, pixels.
    motion: (f64, f64),
    /// Frame size, pixels.
    bounds: (f64, f64),
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The target is seen. In the last `doubts` frames it was not.
    Tracking {
        doubts: u32,
        trusted: Option<Trusted>,
    },
    /// The target is searched for.
    Searching { search: LostSearch },
    /// A candidate was seen `times` times in a row, last at `candidate`, and is checked in the usual search region.
    Checking {
        search: LostSearch,
        candidate: Pose,
        times: u32,
    },
}

/// The last pose without doubt.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Trusted {
    pose: Pose,
    /// Frames since then.
    age: u32,
}

/// The state of the search for a lost target.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LostSearch {
    /// Where the target is assumed to be.
    assumed: Pose,
    /// Where the authors' loop is, which goes on every other frame.
    loop_pose: Pose,
    /// Frames so far, without those in which a candidate was checked.
    frames: u32,
}

/// Which of the two searches for a lost target looks at the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The widening search around the assumed place.
    Search,
    /// The authors' loop, as if the target were not lost.
    Loop,
}

impl LostSearch {
    /// Whose turn the next frame is.
    fn turn(&self) -> Turn {
        if self.frames.is_multiple_of(2) {
            Turn::Search
        } else {
            Turn::Loop
        }
    }
}

/// How the pose changes after a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    /// By the family's rules.
    Follow,
    /// Not at all.
    Stay,
    /// To this pose.
    Place(Pose),
}

const START: Phase = Phase::Tracking {
    doubts: 0,
    trusted: None,
};

impl Recovery {
    pub fn new(settings: LostSettings, search_scale: f64) -> Self {
        Self {
            settings,
            search_scale,
            confidence: Confidence::default(),
            motion: (0.0, 0.0),
            bounds: (0.0, 0.0),
            phase: START,
        }
    }

    pub fn settings(&self) -> &LostSettings {
        &self.settings
    }

    /// The features of the last frame.
    pub fn features(&self) -> &Features {
        self.confidence.features()
    }

    /// Changes the search scale from the next frame on.
    pub fn set_search_scale(&mut self, search_scale: f64) {
        self.search_scale = search_scale;
    }

    /// Takes other settings from the next frame on. Where they end the search for a lost target, gives the pose of the
    /// authors' loop, which goes on from there.
    #[must_use]
    pub fn set(&mut self, settings: LostSettings) -> Option<Pose> {
        self.settings = settings;
        if self.settings.enabled {
            return None;
        }
        let loop_pose = self.lost_search().map(|search| search.loop_pose);
        self.phase = START;
        loop_pose
    }

    /// Starts with a new target at `pose`, without doubt, in frames of `width` x `height` pixels.
    pub fn start(&mut self, (width, height): (u32, u32), pose: Pose) {
        *self = Self {
            bounds: (f64::from(width), f64::from(height)),
            ..Self::new(self.settings.clone(), self.search_scale)
        };
        self.remember(pose);
    }

    /// Searches a frame, lets `follower` follow what was seen there, and says what to report and where to look next.
    pub fn track(
        &mut self,
        follower: &mut dyn Follower,
        frame: &Frame<'_>,
        timings: &mut StageTimings,
    ) -> Result<Answer, ModelError> {
        let candidate = self.look(follower, frame, timings)?;
        let before = follower.pose();
        Ok(self.answer(candidate.as_ref(), before, |candidate| {
            follower.follow(candidate);
            follower.pose()
        }))
    }

    /// Searches the usual region, or the one that the search for a lost target is at. With a search scale above 1 and
    /// doubt about a target that is not lost, also a wider region, and then the place found there.
    ///
    /// The wider region only gives a place: from a target that looks much smaller than in training, these networks
    /// read a size that is too large, and the next region would be too large again. So the size is read in the usual
    /// region around that place.
    fn look(
        &self,
        follower: &mut dyn Follower,
        frame: &Frame<'_>,
        timings: &mut StageTimings,
    ) -> Result<Option<Candidate>, ModelError> {
        let request = self.request();
        let usual = follower.look(frame, &request, timings)?;
        // The search for a lost target widens its region by itself and checks its own candidates.
        if self.search_scale <= 1.0 || !self.is_tracking() {
            return Ok(usual);
        }
        let weights = &self.settings.weights;
        let evidence = self.confidence.of_look(usual.as_ref(), weights);
        if evidence >= self.settings.found_above {
            return Ok(usual);
        }
        let wider = SearchRequest {
            scale: self.search_scale,
            prefer_center: false,
        };
        let before = follower.pose();
        if let Some(wide) = follower.look(frame, &wider, timings)? {
            follower.place(Pose {
                center: wide.pose.center,
                ..before
            });
            let checked = follower.look(frame, &request, timings)?;
            if self.confidence.of_look(checked.as_ref(), weights) > evidence {
                return Ok(checked);
            }
            follower.place(before);
        }
        Ok(usual)
    }

    /// Which region of the next frame to search first.
    pub fn request(&self) -> SearchRequest {
        let settings = &self.settings;
        match self.phase {
            Phase::Searching { search } if search.turn() == Turn::Search => {
                // As many widenings as stay within the widest region, then again from the usual one.
                let steps =
                    (settings.widen_most.ln() / settings.widen_by.ln() + 1e-9).floor() as u32 + 1;
                let step = search.frames / 2 / settings.widen_every % steps;
                SearchRequest {
                    scale: self.search_scale * settings.widen_by.powi(step as i32),
                    prefer_center: false,
                }
            }
            _ => SearchRequest::USUAL,
        }
    }

    /// Judges the candidate of a frame that was searched from the pose `before`. `follow` moves the family's loop to a
    /// candidate by its own rules and gives the new pose.
    fn answer(
        &mut self,
        candidate: Option<&Candidate>,
        before: Pose,
        follow: impl FnOnce(&Candidate) -> Pose,
    ) -> Answer {
        let (evidence, mut confidence) = self.confidence.take(
            candidate,
            &self.settings.weights,
            self.settings.smoothing,
            self.settings.regain,
            self.looks_elsewhere(),
        );
        let was_tracking = self.is_tracking();
        let action = if self.settings.enabled {
            self.advance(candidate, before, evidence)
        } else {
            Action::Follow
        };
        let is_tracking = self.is_tracking();
        if is_tracking && !was_tracking {
            confidence = self.confidence.restart(&self.settings.weights);
            self.motion = (0.0, 0.0);
        }
        if let Some(candidate) = candidate
            && is_tracking
            && evidence >= self.settings.found_above
        {
            self.confidence.count(candidate);
        }
        let pose = match (action, candidate) {
            (Action::Follow, Some(candidate)) => follow(candidate),
            (Action::Follow, None) | (Action::Stay, _) => before,
            (Action::Place(pose), _) => pose,
        };
        self.remember(pose);
        // The loop and the search go on as if this were not reported. Only networks with a refreshed template do not take one
        // from such a frame.
        let is_doubtful = self.settings.enabled && confidence < self.settings.report_below;
        Answer {
            judged: candidate.map_or(before, |candidate| candidate.pose),
            reported: self.reported_pose(pose),
            next: self.next_pose(pose),
            state: if is_tracking && !is_doubtful {
                TrackState::Tracking
            } else {
                TrackState::Lost
            },
            confidence: confidence as f32,
        }
    }

    fn is_tracking(&self) -> bool {
        matches!(self.phase, Phase::Tracking { .. })
    }

    /// The search for a lost target, also while a candidate is checked.
    fn lost_search(&self) -> Option<LostSearch> {
        match self.phase {
            Phase::Tracking { .. } => None,
            Phase::Searching { search } | Phase::Checking { search, .. } => Some(search),
        }
    }

    /// What to report while the loop is at `pose`. For a lost target that is the place of the authors' loop and the size
    /// of the last frame without doubt, because the size of an unseen target is not known.
    fn reported_pose(&self, pose: Pose) -> Pose {
        self.lost_search().map_or(pose, |search| Pose {
            center: search.loop_pose.center,
            ..search.assumed
        })
    }

    /// From where to search the next frame while the loop is at `pose`.
    fn next_pose(&self, pose: Pose) -> Pose {
        match self.phase {
            Phase::Searching { search } => match search.turn() {
                Turn::Search => search.assumed,
                Turn::Loop => search.loop_pose,
            },
            Phase::Tracking { .. } | Phase::Checking { .. } => pose,
        }
    }

    /// Keeps the pose after a frame: where the target was seen without doubt, or where the authors' loop is.
    fn remember(&mut self, pose: Pose) {
        match &mut self.phase {
            Phase::Tracking { doubts: 0, trusted } => {
                if let Some(Trusted { pose: before, age }) = *trusted {
                    let frames = f64::from(age.max(1));
                    let (dx, dy) = (
                        (pose.center.0 - before.center.0) / frames,
                        (pose.center.1 - before.center.1) / frames,
                    );
                    self.motion.0 += MOTION_RATE * (dx - self.motion.0);
                    self.motion.1 += MOTION_RATE * (dy - self.motion.1);
                }
                *trusted = Some(Trusted { pose, age: 0 });
            }
            // The two take turns, so this frame was the loop's.
            Phase::Searching { search } if search.turn() == Turn::Search => search.loop_pose = pose,
            _ => {}
        }
    }

    /// Whether the next look is not at the box that is reported.
    fn looks_elsewhere(&self) -> bool {
        match self.phase {
            Phase::Tracking { .. } => false,
            Phase::Searching { search } => search.turn() == Turn::Search,
            Phase::Checking {
                search, candidate, ..
            } => search.loop_pose.center != candidate.center,
        }
    }

    /// Goes to the next phase and says how the pose changes.
    fn advance(&mut self, candidate: Option<&Candidate>, pose: Pose, evidence: f64) -> Action {
        let settings = &self.settings;
        let found = candidate.filter(|_| evidence >= settings.found_above);
        match self.phase {
            Phase::Tracking { doubts, trusted } => {
                let trusted = trusted.map(|trusted| Trusted {
                    age: trusted.age.saturating_add(1),
                    ..trusted
                });
                if evidence >= settings.lost_below {
                    self.phase = Phase::Tracking { doubts: 0, trusted };
                    return Action::Follow;
                }
                let doubts = doubts + 1;
                if doubts < settings.lost_after {
                    self.phase = Phase::Tracking { doubts, trusted };
                    return Action::Follow;
                }
                // The search begins at the last pose without doubt: since then the box may have moved to another object.
                let mut assumed = trusted.map_or(pose, |trusted| trusted.pose);
                for _ in 0..doubts {
                    assumed = self.coast(assumed);
                }
                let search = LostSearch {
                    assumed,
                    loop_pose: pose,
                    frames: 0,
                };
                self.phase = Phase::Searching { search };
                Action::Follow
            }
            Phase::Searching { mut search } => {
                let turn = search.turn();
                let worth_a_check = match turn {
                    Turn::Loop => found,
                    Turn::Search => candidate.filter(|_| evidence >= settings.candidate_above),
                };
                search.assumed = self.coast(search.assumed);
                search.frames = search.frames.saturating_add(1);
                match (turn, worth_a_check) {
                    (Turn::Loop, Some(seen)) => {
                        let candidate = Pose {
                            center: seen.pose.center,
                            ..pose
                        };
                        search.loop_pose = candidate;
                        self.count_sight(search, candidate, 1)
                    }
                    // A widened region gives a place to check, never the target itself.
                    (Turn::Search, Some(seen)) => {
                        let candidate = Pose {
                            center: seen.pose.center,
                            ..search.assumed
                        };
                        self.check_at(search, candidate, 1)
                    }
                    (turn, None) => {
                        self.phase = Phase::Searching { search };
                        match turn {
                            Turn::Loop => Action::Follow,
                            Turn::Search => Action::Stay,
                        }
                    }
                }
            }
            Phase::Checking {
                mut search,
                candidate,
                times,
            } => {
                search.assumed = self.coast(search.assumed);
                if let Some(seen) = found
                    && same_place(&candidate, &seen.pose)
                {
                    // If the authors' loop saw it first, the loop moves on with it, so the reported box does, too.
                    if search.loop_pose.center == candidate.center {
                        search.loop_pose.center = seen.pose.center;
                    }
                    let candidate = Pose {
                        center: seen.pose.center,
                        ..candidate
                    };
                    return self.count_sight(search, candidate, times + 1);
                }
                self.phase = Phase::Searching { search };
                Action::Stay
            }
        }
    }

    /// Takes a candidate that was seen `times` times in the usual region as the target once that is often enough.
    fn count_sight(&mut self, search: LostSearch, candidate: Pose, times: u32) -> Action {
        if times >= self.settings.found_after {
            self.phase = START;
            return Action::Follow;
        }
        self.check_at(search, candidate, times)
    }

    /// Has the next frame searched in the usual region around a candidate.
    fn check_at(&mut self, search: LostSearch, candidate: Pose, times: u32) -> Action {
        self.phase = Phase::Checking {
            search,
            candidate,
            times,
        };
        Action::Place(candidate)
    }

    /// Where a lost target is assumed to be one frame later: it moves on more slowly each frame and stays in the image.
    fn coast(&mut self, assumed: Pose) -> Pose {
        self.motion.0 *= self.settings.coast;
        self.motion.1 *= self.settings.coast;
        let (x, y) = assumed.center;
        let (x, y) = (x + self.motion.0, y + self.motion.1);
        Pose {
            center: (x.min(self.bounds.0).max(0.0), y.min(self.bounds.1).max(0.0)),
            ..assumed
        }
    }
}

/// Whether the distance of two poses' centres is at most the target's mean side.
fn same_place(a: &Pose, b: &Pose) -> bool {
    let ((ax, ay), (bx, by)) = (a.center, b.center);
    (ax - bx).hypot(ay - by) <= SAME_PLACE * (a.width * a.height).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Answer, Candidate, LostSettings, Phase, Pose, Recovery, TrackState, Turn};
    use crate::follower::Evidence;

    const HERE: Pose = Pose {
        center: (100.0, 80.0),
        width: 30.0,
        height: 20.0,
    };

    /// Where the authors' loop is when the target is lost.
    const SLID: Pose = Pose {
        center: (140.0, 80.0),
        width: 44.0,
        height: 44.0,
    };

    fn at(center: (f64, f64)) -> Pose {
        Pose { center, ..HERE }
    }

    fn seen(is_there: bool, center: (f64, f64)) -> Candidate {
        let evidence = if is_there {
            Evidence {
                score: 0.99,
                second: 0.05,
                spread: 0.03,
                agreement: 0.85,
                ..Evidence::default()
            }
        } else {
            Evidence {
                score: 0.6,
                second: 0.55,
                spread: 0.4,
                agreement: 0.3,
                ..Evidence::default()
            }
        };
        Candidate {
            pose: at(center),
            cell: Some(7),
            rate: 0.5,
            evidence,
            most_growth: f64::INFINITY,
        }
    }

    /// A frame whose search from `pose` shows the target or nothing like it. The loop would stay at `pose`.
    fn frame(logic: &mut Recovery, is_there: bool, pose: Pose) -> Answer {
        logic.answer(Some(&seen(is_there, pose.center)), pose, |_| pose)
    }

    /// A frame whose search from `pose` shows something at `center`.
    fn frame_with(logic: &mut Recovery, seen: Candidate, pose: Pose) -> Answer {
        logic.answer(Some(&seen), pose, |_| pose)
    }

    fn settings(change: impl FnOnce(&mut LostSettings)) -> LostSettings {
        let mut settings = LostSettings::default();
        change(&mut settings);
        settings
    }

    fn started(settings: LostSettings) -> Recovery {
        let mut logic = Recovery::new(settings, 1.0);
        logic.start((320, 240), HERE);
        logic
    }

    /// After ten frames that show the target.
    fn tracking(settings: LostSettings) -> Recovery {
        let mut logic = started(settings);
        for _ in 0..10 {
            let answer = frame(&mut logic, true, HERE);
            assert_eq!((answer.next, answer.state), (HERE, TrackState::Tracking));
            assert!(answer.confidence > 0.9, "{}", answer.confidence);
        }
        logic
    }

    /// Shows nothing until the target is lost, and counts the frames.
    fn lose(logic: &mut Recovery) -> u32 {
        for number in 1..100 {
            let answer = frame(logic, false, SLID);
            if answer.state == TrackState::Lost {
                // The search is at the last place and size without doubt.
                assert_eq!(answer.next, HERE);
                assert_eq!(answer.reported, at(SLID.center));
                assert!(answer.confidence < 0.1, "{}", answer.confidence);
                return number;
            }
            assert_eq!((answer.next, answer.reported), (SLID, SLID));
        }
        panic!("never lost");
    }

    #[test]
    fn a_target_is_lost_after_some_frames_and_one_good_frame_resets_the_count() {
        let mut logic = tracking(LostSettings::default());
        let after = LostSettings::default().lost_after;
        for _ in 1..after {
            assert_eq!(frame(&mut logic, false, HERE).state, TrackState::Tracking);
        }
        frame(&mut logic, true, HERE);
        assert_eq!(lose(&mut logic), after);
    }

    #[test]
    fn a_frame_of_little_confidence_is_reported_as_lost_and_changes_nothing_else() {
        let early = settings(|settings| settings.report_below = 0.5);
        let (mut logic, mut usual) = (tracking(early), tracking(LostSettings::default()));
        // Doubts, but too few of them for a search, and then the target again.
        for (is_there, state) in [
            (true, TrackState::Tracking),
            (false, TrackState::Lost),
            (false, TrackState::Lost),
            (true, TrackState::Tracking),
        ] {
            let answer = frame(&mut logic, is_there, HERE);
            assert_eq!(answer.state, state, "{}", answer.confidence);
            let expected = frame(&mut usual, is_there, HERE);
            assert_eq!(expected.state, TrackState::Tracking);
            assert_eq!(Answer { state, ..expected }, answer);
        }
        // Switched off, the state is always tracking.
        let mut logic = tracking(settings(|settings| {
            (settings.enabled, settings.report_below) = (false, 0.5);
        }));
        assert_eq!(frame(&mut logic, false, HERE).state, TrackState::Tracking);
    }

    #[test]
    fn the_reported_box_follows_a_target_that_the_loop_sees_again_until_it_counts_as_found() {
        let mut logic = tracking(settings(|settings| settings.found_after = 3));
        lose(&mut logic);
        while !logic.request().prefer_center {
            frame(&mut logic, false, HERE);
        }
        let mut pose = SLID;
        for (center, state) in [
            ((150.0, 90.0), TrackState::Lost),
            ((152.0, 91.0), TrackState::Lost),
            ((154.0, 92.0), TrackState::Tracking),
        ] {
            let answer = logic.answer(Some(&seen(true, center)), pose, |seen| seen.pose);
            assert_eq!((answer.reported.center, answer.state), (center, state));
            pose = answer.next;
        }
    }

    #[test]
    fn the_search_widens_in_steps_and_starts_again() {
        let mut logic = tracking(settings(|settings| {
            settings.widen_every = 2;
            settings.widen_most = 2.8;
        }));
        lose(&mut logic);
        let mut scales = Vec::new();
        for number in 0..32 {
            let request = logic.request();
            // Every other frame is the loop's, in the usual region.
            let is_of_the_loop = number % 2 == 1;
            assert_eq!(request.prefer_center, is_of_the_loop);
            if is_of_the_loop {
                assert_eq!(request.scale, 1.0);
            } else {
                scales.push((request.scale * 100.0).round() as u32);
            }
            frame(&mut logic, false, HERE);
        }
        assert_eq!(
            scales,
            [
                100, 100, 140, 140, 196, 196, 274, 274, 100, 100, 140, 140, 196, 196, 274, 274
            ]
        );
    }

    #[test]
    fn the_search_scale_multiplies_the_region_of_a_lost_target_only() {
        let mut logic = tracking(LostSettings::default());
        logic.set_search_scale(2.0);
        assert_eq!(logic.request().scale, 1.0);
        lose(&mut logic);
        assert_eq!(logic.request().scale, 2.0);
        frame(&mut logic, false, HERE);
        assert_eq!(logic.request().scale, 1.0, "the loop's turn");
    }

    #[test]
    fn the_loop_goes_on_from_its_place_and_can_find_the_target() {
        let mut logic = tracking(LostSettings::default());
        lose(&mut logic);
        let answer = frame(&mut logic, false, HERE);
        // The loop continues at its own place and follows what it sees, with or without evidence.
        let mut pose = answer.next;
        assert_eq!(pose.center, SLID.center);
        let moved = Pose {
            center: (150.0, 80.0),
            ..pose
        };
        let answer = logic.answer(Some(&seen(false, moved.center)), pose, |_| moved);
        // The reported box moves with the loop and keeps its size; the search stays where it was.
        assert_eq!(answer.state, TrackState::Lost);
        assert_eq!((answer.reported, answer.next), (at(moved.center), HERE));
        let answer = frame(&mut logic, false, HERE);
        assert_eq!(answer.next, moved);
        // Two good frames of the loop in a row, at its size, are the target.
        pose = Pose {
            center: (160.0, 80.0),
            ..moved
        };
        let answer = frame_with(&mut logic, seen(true, pose.center), pose);
        assert_eq!((answer.next, answer.state), (pose, TrackState::Lost));
        assert_eq!(answer.reported, at(pose.center));
        let answer = frame_with(&mut logic, seen(true, pose.center), pose);
        assert_eq!((answer.next, answer.state), (pose, TrackState::Tracking));
        assert_eq!(answer.reported, pose);
    }

    #[test]
    fn a_target_is_found_once_a_check_confirms_it() {
        for found_after in [1, 2] {
            let mut logic = tracking(settings(|settings| settings.found_after = found_after));
            lose(&mut logic);
            let there = (160.0, 90.0);
            let answer = frame_with(&mut logic, seen(true, there), HERE);
            // Goes there with the size it had, but the target is not found yet.
            assert_eq!((answer.next, answer.state), (at(there), TrackState::Lost));
            assert_eq!(logic.request().scale, 1.0);
            let answer = frame_with(&mut logic, seen(true, there), at(there));
            assert_eq!(
                (answer.next, answer.state),
                (at(there), TrackState::Tracking)
            );
            assert!(answer.confidence > 0.9, "{}", answer.confidence);
        }
    }

    #[test]
    fn a_candidate_that_a_check_does_not_show_is_dropped() {
        for second in [seen(false, (160.0, 90.0)), seen(true, (260.0, 190.0))] {
            let mut logic = tracking(LostSettings::default());
            lose(&mut logic);
            let answer = frame_with(&mut logic, seen(true, (160.0, 90.0)), HERE);
            // Next is the loop's turn, then the search's at the old place.
            let answer = frame_with(&mut logic, second, answer.next);
            assert_eq!(answer.state, TrackState::Lost);
            assert_eq!(answer.next, SLID);
            let answer = frame(&mut logic, false, answer.next);
            assert_eq!((answer.next, answer.state), (HERE, TrackState::Lost));
        }
    }

    #[test]
    fn the_assumed_place_of_a_lost_target_slows_down_and_stays_in_the_image() {
        let mut logic = started(LostSettings::default());
        let mut pose = HERE;
        for _ in 0..30 {
            pose.center.0 += 6.0;
            frame(&mut logic, true, pose);
        }
        let mut places = Vec::new();
        for _ in 0..60 {
            frame(&mut logic, false, pose);
            if let Phase::Searching { search } = logic.phase {
                places.push(search.assumed.center.0);
            }
        }
        let steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            steps[0] > 1.0 && steps.windows(2).all(|pair| pair[1] <= pair[0]),
            "{steps:?}"
        );
        assert!(
            places.iter().all(|x| (0.0..=320.0).contains(x)),
            "{places:?}"
        );
    }

    #[test]
    fn frames_in_doubt_do_not_raise_the_estimated_motion() {
        let motion = |is_doubted: fn(i32) -> bool| {
            let mut logic = started(LostSettings::default());
            let mut pose = HERE;
            for number in 0..40 {
                pose.center.0 += 6.0;
                frame(&mut logic, !is_doubted(number), pose);
            }
            logic.motion
        };
        let (sure, doubtful) = (motion(|_| false), motion(|number| number % 4 != 3));
        assert!((sure.0 - 6.0).abs() < 0.1, "{sure:?}");
        // Fewer steps are seen, none of them longer.
        assert!(doubtful.0 > 3.0 && doubtful.0 <= 6.0, "{doubtful:?}");
        assert_eq!((sure.1, doubtful.1), (0.0, 0.0));
    }

    #[test]
    fn a_target_hidden_from_the_second_frame_on_is_searched_at_its_first_place() {
        let mut logic = started(LostSettings::default());
        assert_eq!(lose(&mut logic), LostSettings::default().lost_after);
    }

    #[test]
    fn evidence_from_another_place_does_not_raise_the_confidence_of_the_box() {
        let mut logic = tracking(LostSettings::default());
        lose(&mut logic);
        let before = frame(&mut logic, false, HERE);
        frame(&mut logic, false, before.next);
        // The search shows something like the target far from the loop.
        let there = (160.0, 90.0);
        let answer = frame_with(&mut logic, seen(true, there), HERE);
        assert_eq!(answer.next, at(there));
        assert!(
            answer.confidence <= before.confidence,
            "{answer:?} after {before:?}"
        );
        assert_eq!(answer.reported.center, SLID.center);
        // Once the target is found there, it counts.
        let answer = frame_with(&mut logic, seen(true, there), at(there));
        assert_eq!(answer.state, TrackState::Tracking);
        assert!(answer.confidence > 0.9, "{answer:?}");
    }

    #[test]
    fn switched_off_the_logic_only_computes_the_confidence() {
        let mut logic = started(settings(|settings| settings.enabled = false));
        for number in 0..50 {
            let answer = frame(&mut logic, number < 10, HERE);
            assert_eq!((answer.next, answer.state), (HERE, TrackState::Tracking));
            assert_eq!(
                answer.confidence > 0.5,
                number < 10,
                "frame {number}: {}",
                answer.confidence
            );
            let request = logic.request();
            assert_eq!((request.scale, request.prefer_center), (1.0, true));
        }
        let answer = logic.answer(None, HERE, |_| panic!("there is no candidate to follow"));
        assert_eq!((answer.next, answer.reported), (HERE, HERE));
    }

    #[test]
    fn switched_off_during_a_search_the_loop_goes_on_from_its_own_place() {
        let mut logic = tracking(LostSettings::default());
        lose(&mut logic);
        frame(&mut logic, false, HERE);
        let off = settings(|settings| settings.enabled = false);
        assert_eq!(logic.set(off), Some(SLID));
        assert!(logic.is_tracking());
        assert_eq!(logic.set(LostSettings::default()), None);
    }

    #[test]
    fn the_search_and_the_loop_take_turns() {
        let mut logic = tracking(LostSettings::default());
        lose(&mut logic);
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.extend(logic.lost_search().map(|search| search.turn()));
            frame(&mut logic, false, HERE);
        }
        assert_eq!(turns, [Turn::Search, Turn::Loop, Turn::Search, Turn::Loop]);
    }

    #[test]
    fn other_colors_in_the_place_of_the_target_lower_the_confidence() {
        let mut logic = started(settings(|settings| {
            settings.weights.bias = -13.5;
            settings.weights.appearance = 6.0;
        }));
        let mut confidence = |appearance| {
            let mut candidate = seen(true, HERE.center);
            candidate.evidence.appearance = appearance;
            frame_with(&mut logic, candidate, HERE).confidence
        };
        assert!(confidence(0.9) > 0.8);
        let covered = [confidence(0.1), confidence(0.1), confidence(0.1)];
        assert!(covered[2] < 0.35, "{covered:?}");
    }

    #[test]
    fn confidence_is_lost_at_once_and_comes_back_slowly() {
        let mut logic = started(settings(|settings| settings.regain = 0.03));
        let mut confidence = |is_there: bool, frames: usize| {
            let mut last = 0.0;
            for _ in 0..frames {
                last = frame(&mut logic, is_there, HERE).confidence;
            }
            last
        };
        let before = confidence(true, 10);
        let doubted = confidence(false, 3);
        let soon = confidence(true, 10);
        let late = confidence(true, 300);
        assert!(before > 0.9 && doubted < 0.2, "{before} {doubted}");
        assert!(soon > doubted && soon < 0.4, "{soon} after {doubted}");
        assert!(late > 0.9, "{late}");
    }
}
