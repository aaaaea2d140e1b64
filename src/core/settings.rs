//! Changes parameters and the model while the node runs.

use super::{Clock, NodeCore, Output, Place, Request};
use crate::log::Level;
use crate::parameters::{
    Change, MODEL_PARAMETERS, ParameterError, ParameterSet, Value, descriptors,
};
use crate::{ModelInfo, NodeTracker};
use ettrack::error_chain;
use ettrack::tracker::TrackState;

impl NodeCore {
    /// Changes a parameter while the node runs.
    ///
    /// # Errors
    /// If the name, type or range is wrong, the tracker refuses the value, or the parameter is read only at the start. Then the old
    /// value stays.
    pub fn set_parameter(
        &mut self,
        name: &str,
        value: &Value,
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        let mut changed = self.parameters.clone();
        match changed.set(name, value)? {
            Change::Start => {
                // Tools that write all parameters back set the present value. That changes nothing.
                if changed != self.parameters {
                    let known = descriptors().into_iter().find(|known| known.name == name);
                    return Err(ParameterError::StartOnly {
                        name: known.map_or("parameter", |known| known.name),
                    });
                }
                return Ok(());
            }
            Change::Model => {
                if changed != self.parameters {
                    out.push(Output::LoadModel);
                }
            }
            Change::Live => {
                let settings = changed.tracker_settings();
                if settings != self.parameters.tracker_settings() {
                    self.tracker
                        .configure(&settings)
                        .map_err(|error| ParameterError::Tracker(error_chain(&error)))?;
                }
                self.history.resize(changed.history_bounds());
            }
        }
        self.parameters = changed;
        Ok(())
    }

    /// Changes several parameters, or none of them.
    ///
    /// # Errors
    /// That of the first one that [`NodeCore::set_parameter`] refuses.
    pub fn set_parameters(
        &mut self,
        changes: &[(&str, Value)],
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        let (before, said) = (self.parameters.clone(), out.len());
        for (done, (name, value)) in changes.iter().enumerate() {
            if let Err(error) = self.set_parameter(name, value, out) {
                for (undone, _) in &changes[..done] {
                    if let Some(old) = before.get(undone) {
                        // The old value was accepted before, so this cannot fail.
                        let _ = self.set_parameter(undone, &old, out);
                    }
                }
                // A model that one of the undone changes asked for is not loaded, and the old model is not loaded again.
                out.truncate(said);
                return Err(error);
            }
        }
        self.tell_of(changes.iter().map(|(name, _)| *name), out);
        Ok(())
    }

    /// Publishes the present values of these parameters. Their type may differ from the type that was sent.
    fn tell_of<'a>(&self, names: impl Iterator<Item = &'a str>, out: &mut Vec<Output>) {
        let set: Vec<_> = names
            .filter_map(|name| Some((name.to_owned(), self.parameters.get(name)?)))
            .collect();
        if !set.is_empty() {
            out.push(Output::ParametersSet(set));
        }
    }

    /// Replaces the old model by a newly loaded one. A tracked target is kept: it is initialised with its last box in the image of
    /// that box. A lost target is given up, because the new model has no image of it.
    ///
    /// # Errors
    /// [`ParameterError::Tracker`] if the new tracker refuses the settings. Then the old tracker stays.
    pub fn replace_tracker(
        &mut self,
        mut tracker: Box<dyn NodeTracker + Send>,
        model: ModelInfo,
        clock: &dyn Clock,
        out: &mut Vec<Output>,
    ) -> Result<(), ParameterError> {
        if let Err(error) = tracker.configure(&self.parameters.tracker_settings()) {
            let error = error_chain(&error);
            self.refuse_model(&error, out);
            return Err(ParameterError::Tracker(error));
        }
        self.tracker = tracker;
        self.model = model;
        self.loaded = self.parameters.clone();
        out.push(Output::Log(
            Level::Info,
            format!("model {} is in use", self.model.name),
        ));
        if let Some(target) = self.target.take() {
            if target.last.state == TrackState::Tracking {
                let request = Request {
                    place: Place::Box(target.last.bounding_box),
                    id: target.id,
                    stamp: None,
                    or_later: true,
                };
                let Some(position) = self.kept(target.stamp) else {
                    // A request that already waits is newer than this target.
                    self.request.get_or_insert(request);
                    return Ok(());
                };
                self.take_over(request, position, clock, out);
            }
            if !self.is_behind() {
                self.publish_newest(out);
            }
        }
        Ok(())
    }

    /// Keeps the old model because the new one cannot be loaded, and sets the parameters back to it.
    pub fn refuse_model(&mut self, reason: &str, out: &mut Vec<Output>) {
        self.parameters.take_model_of(&self.loaded);
        self.tell_of(MODEL_PARAMETERS.into_iter(), out);
        self.statistics.last_refused = Some(reason.to_owned());
        let line = format!("model refused, {} stays in use: {reason}", self.model.name);
        out.push(Output::Log(Level::Error, line));
    }
}
