/** Options of `evaluate`, resolved. */
export interface EvaluateOptions {
  /** Which questions: AlpacaEval 2, MT-Bench, or those of `prompts`. */
  benchmark: "alpaca_eval" | "mt_bench" | "custom";
  /** One stage alone; without it all that the options give what they need for. */
  stage?: "answers" | "judge" | "scores";
  /** The model that is evaluated. */
  model?: string;
  /** An adapter to put on it. */
  adapter?: string;
  /** Its name in the benchmark's files; by default the last part of its (or the adapter's) path. */
  name?: string;
  /** `custom`: the prompts' file. */
  prompts?: string;
  /** The benchmark's published files by their published names; fetched where it is not given. */
  data_dir?: string;
  /** Outputs of a model; `custom`: two files, those of the baseline first. */
  outputs?: string | string[];
  /** Judgments of the benchmark's form, to be scored. */
  annotations?: string;
  /** Where the stages write; with the same one they go on. */
  output_dir?: string;
  /** Only the first so many instructions or questions. */
  limit?: number;
  /** Apply the chat template; by default where the model has one. */
  chat?: boolean;
  /** Tokens of an answer at most; by default the benchmark's. */
  max_new_tokens?: number;
  /** `mt_bench`: by default FastChat's of each category. */
  temperature?: number;
  /** Sample from the likeliest tokens of this share. */
  top_p: number;
  /** Of the sampling, and of the bootstrap. */
  seed: number;
  /** Format of matmul inputs. */
  compute_dtype: "f32" | "bf16";
  /** The endpoint of a remote judge; without it `judge_model` is a model of ours. */
  judge_url?: string;
  /** The judge's name at `judge_url`, or a model directory. */
  judge_model?: string;
  /** The environment variable that holds the key. */
  judge_api_key_env: string;
  /** Requests at a time. */
  judge_concurrency: number;
  /** Requests a minute at most. */
  judge_requests_per_minute?: number;
  /** Seconds to wait for an answer. */
  judge_timeout: number;
  /** US dollars per million tokens that the judge reads. */
  judge_input_price?: number;
  /** US dollars per million tokens that the judge writes. */
  judge_output_price?: number;
}

/** The stages in their order. */
export type Stage = "answers" | "judge" | "scores";
