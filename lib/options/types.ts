/**
 * What a task's options are to the command line, to `--help` and to whoever declares them.
 */
import type { z } from "../deps.ts";

/** A table of option schemas by key. */
export type Shape = Readonly<Record<string, z.ZodType>>;

/**
 * What the command line says of an option: the text that followed the flag (the texts, where it is given several
 * times), `true` for a bare flag, `false` for `--no-flag`.
 */
export type FlagValue = string | boolean | readonly string[];

/** Where options come from: a parsed config file, and flags as the command line spelled them. */
export interface OptionSources {
  /** Values by key. `null` counts as not given. */
  readonly file?: Readonly<Record<string, unknown>>;
  /** The file's name, for messages. */
  readonly fileName?: string;
  /** Flag values by key, see {@link FlagValue}. */
  readonly flags?: Readonly<Record<string, FlagValue>>;
}

/** One option, as the command line and `--help` need it. */
export interface OptionField {
  /** The key in a config file: `learning_rate`. */
  readonly key: string;
  /** The flag without its dashes: `learning-rate`. */
  readonly flag: string;
  /**
   * What the flag is followed by: nothing, a value, either (`--resume`, `--resume path`), or a list (separated by
   * commas, or the flag once for each).
   */
  readonly takes: "nothing" | "value" | "either" | "list";
  /** What is wanted, in words: `a number above 0`. */
  readonly wanted: string;
  /** The default as text, or undefined where there is none. */
  readonly default: string | undefined;
  /** What the option does, with its unit. */
  readonly meaning: string;
  /** The heading of `--help` that it stands under. */
  readonly group: string;
}

/** All options of one task. */
export interface OptionSet<T> {
  /** The task's name: `train`. */
  readonly task: string;
  /** The key of the list that plain arguments belong to; without one, a plain argument is the config file. */
  readonly positional: string | undefined;
  /** The options in the order of `--help`. */
  readonly fields: readonly OptionField[];
  /** The text of `--help`. */
  help(): string;
  /** Checks everything and returns what was given, converted, without defaults. Throws {@link InputError}. */
  given(sources: OptionSources): Partial<T>;
  /** Checks everything and fills in the defaults. Throws {@link InputError}. */
  resolve(given: Partial<T>): T;
}

/** Options that exist only for some choices: a loss's own. */
export interface Choice {
  /** The key that decides; the options stand behind it in `--help`. */
  readonly key: string;
  /** Every such option, for `--help` and for reading flags. */
  readonly all: Shape;
  /** The options that go with what was given. */
  select(given: Readonly<Record<string, unknown>>): Shape;
  /** Why `key` does not go with what was given. */
  refuse(key: string, given: Readonly<Record<string, unknown>>): string;
}

/** A schema for every key of the options `T`, of a type that the compiler holds against `T`'s. */
export type ShapeOf<T> = { readonly [K in keyof T]-?: z.ZodType<T[K]> };

/** What {@link defineOptions} wants to know about a task. */
export interface Definition<T> {
  readonly task: string;
  readonly summary: string;
  readonly shape: ShapeOf<T>;
  readonly choice?: Choice;
  /** Keys that a config file may hold without effect (what a run's own `config.json` records). */
  readonly ignored?: readonly string[];
  /** Looks across options once each is right by itself; returns one sentence per problem. */
  readonly check?: (options: T) => string[];
  /** The list that plain arguments belong to; without one, a plain argument is the config file. */
  readonly positional?: keyof T & string;
}
