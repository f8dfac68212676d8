/** Learning rates against Transformers' (`tests/golden/schedules.py` made the numbers), and how long a warm-up is. */
import { assert, assertEquals } from "@std/assert";
import goldens from "../golden/schedules.json" with { type: "json" };
import { learningRate, type ScheduleOptions, SCHEDULES, warmupSteps } from "../../lib/train/schedule.ts";

Deno.test("schedules: every learning rate is Transformers'", () => {
  const named = new Set<string>();
  for (const { options, rates } of goldens) {
    const schedule = { ...options, warmup_ratio: 0.5 } as ScheduleOptions;
    named.add(schedule.lr_scheduler_type);
    rates.forEach((rate, step) => {
      const found = learningRate(step, rates.length, schedule);
      assert(
        Math.abs(found - rate) <= 1e-13 * Math.abs(rate) + 1e-20,
        `${JSON.stringify(options)} ${step}: ${found}`,
      );
    });
  }
  assertEquals([...named].sort(), [...SCHEDULES].sort());
});

Deno.test("schedules: a warm-up is a share below 1, a number of steps from there on; warmup_steps decides", () => {
  const warmup = (options: Partial<ScheduleOptions>) =>
    warmupSteps(20, { learning_rate: 1, lr_scheduler_type: "linear", warmup_ratio: 0.1, ...options });
  assertEquals(warmup({}), 2);
  assertEquals(warmup({ warmup_ratio: 1 }), 20);
  assertEquals(warmup({ warmup_steps: 0.26 }), 6);
  assertEquals(warmup({ warmup_steps: 1 }), 1);
  assertEquals(warmup({ warmup_steps: 7 }), 7);
  assertEquals(warmup({ warmup_steps: 0 }), 0);
});
