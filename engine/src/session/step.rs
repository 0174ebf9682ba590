//! The steps of a session.

use super::{Session, Step};
use crate::blocking::block_on;
use crate::dispatch::Phase;
use crate::error::Result;
use crate::kernel::Scalar;
use crate::ops::cross_entropy::HISTORY;
use crate::optimizer::Optimizer;
use crate::pace;
use web_time::Instant;

impl Session {
    /// Sets the learning rate of the next step and counts it.
    pub fn begin_step(&mut self, optimizer: &mut Optimizer, lr: f32) -> Result<()> {
        let step = optimizer.begin_step();
        let Some(optim) = &self.plan.optim else { return Ok(()) };
        let write =
            |offset: u64, value: Scalar| self.gpu.write_bytes(&self.uniforms, offset, &value.to_le_bytes());
        for (group, offsets) in &self.changing.updates {
            for (&offset, (_, value)) in offsets.iter().zip(optim.step_fields(*group, lr, step)) {
                write(offset, Scalar::F32(value));
            }
        }
        if let Some(offset) = self.changing.slot {
            write(offset, Scalar::U32(((step - 1) % HISTORY as u64) as u32));
        }
        if let Some(offset) = self.changing.step {
            write(offset, Scalar::U32(u32::try_from(step).unwrap_or(u32::MAX)));
        }
        Ok(())
    }

    /// Runs the step: one encoder, one pass, one submit; several of each if the step is longer than
    /// [`crate::Tuning::submit_time`]. The prologue is included the first time, and after parameters or
    /// statistics were set, or changed by another session.
    ///
    /// Returns before the device is done, unless it is several steps behind: then it waits for the oldest.
    pub fn run(&mut self) -> Result<()> {
        block_on(self.run_async())
    }

    /// [`Session::run`] for callers that must not block.
    ///
    /// # Errors
    /// The errors of [`Session::run`].
    pub async fn run_async(&mut self) -> Result<()> {
        if self.guard.is_some() { self.run_guarded() } else { self.run_steps(None).await }
    }

    /// [`Session::run`] with a guard: every dispatch is a submission. In checked mode the host waits for
    /// each, so that an error names it.
    fn run_guarded(&mut self) -> Result<()> {
        self.gpu.check()?;
        let version = self.version.get();
        let fresh = self.prologue_of == Some(version);
        let due = |step: &Step| step.phase != Phase::Prologue || !fresh;
        for at in (0..self.steps.len()).filter(|at| due(&self.steps[*at])).collect::<Vec<_>>() {
            self.run_step(at);
            if self.steps[at].phase != Phase::Prologue {
                self.executed += self.steps[at].cost;
            }
            if self.gpu.is_checked() {
                self.gpu.wait()?;
            }
        }
        self.count_run(version, fresh);
        self.check_guard()
    }

    /// Submits one step.
    pub(super) fn run_step(&self, at: usize) {
        let (step, dispatch) = (&self.steps[at], &self.plan.dispatches[at]);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(guard) = &self.guard {
            guard.before(dispatch, &mut encoder);
        }
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&step.pipeline);
            pass.set_bind_group(0, &step.bind_group, &[]);
            if let Some(guard) = &self.guard {
                guard.count(at, &mut pass);
            }
            pass.dispatch_workgroups(step.grid[0], step.grid[1], step.grid[2]);
        }
        if let Some(guard) = &self.guard {
            guard.after(dispatch, &mut encoder);
        }
        self.gpu.submit(encoder, &step.label);
    }

    pub(super) async fn run_steps(&mut self, timestamps: Option<&wgpu::QuerySet>) -> Result<()> {
        self.gpu.check()?;
        let version = self.version.get();
        let fresh = self.prologue_of == Some(version);
        let steps: Vec<&Step> =
            self.steps.iter().filter(|step| step.phase != Phase::Prologue || !fresh).collect();
        let work: Vec<u64> = steps.iter().map(|step| pace::work(&step.cost)).collect();
        let started = if self.pace.begin() {
            self.gpu.wait_async().await?;
            Some(Instant::now())
        } else {
            None
        };
        let (mut timed, mut last) = (0, None);
        for run in pace::cut(&work, self.pace.budget()) {
            let (first, end) = (&steps[run.start].label, &steps[run.end - 1].label);
            let what = format!("{} dispatches, {first} to {end}", run.len());
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                if let (Some(queries), 0) = (timestamps, timed) {
                    pass.write_timestamp(queries, 0);
                    timed = 1;
                }
                for step in &steps[run] {
                    pass.set_pipeline(&step.pipeline);
                    pass.set_bind_group(0, &step.bind_group, &[]);
                    pass.dispatch_workgroups(step.grid[0], step.grid[1], step.grid[2]);
                    if step.phase != Phase::Prologue {
                        self.executed += step.cost;
                        if let Some(queries) = timestamps {
                            pass.write_timestamp(queries, timed);
                            timed += 1;
                        }
                    }
                }
            }
            last = Some(self.gpu.submit(encoder, what));
        }
        if let Some(started) = started {
            self.gpu.wait_async().await?;
            self.pace.measured(work.iter().fold(0, |sum, more| sum.saturating_add(*more)), started.elapsed());
        }
        if let Some(behind) = last.and_then(|last| self.backlog.push(last)) {
            self.gpu.wait_until(&behind).await?;
        }
        self.count_run(version, fresh);
        self.gpu.check()
    }

    /// Records a run that began at `version` of the parameters, without the prologue if it was `fresh`.
    fn count_run(&mut self, version: u64, fresh: bool) {
        self.prologue_of = Some(version);
        self.prologues += u64::from(!fresh);
        let (moves, moves_prologue) = self.moves;
        if moves && self.version.advance() == version && !moves_prologue {
            self.prologue_of = Some(version + 1);
        }
    }
}
