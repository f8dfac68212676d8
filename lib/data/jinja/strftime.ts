/**
 * `strftime` in the C locale, as glibc has it.
 */
import { TemplateError } from "./errors.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

const two = (n: number, fill = "0") => String(n).padStart(2, fill);

/** The date by `format`. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]?)([\s\S]?)/g, (whole, flag: string, letter: string) => {
    const text = directive(date, letter);
    if (text === undefined) throw new TemplateError(`the directive ${whole} of strftime`);
    switch (flag) {
      case "-":
        return text.replace(/^[0 ]+(?=\d)/, "");
      case "_":
        return text.replace(/^0+(?=\d)/, (zeros) => " ".repeat(zeros.length));
      case "0":
        return text.replace(/^ +(?=\d)/, (blanks) => "0".repeat(blanks.length));
      case "^":
        return text.toUpperCase();
      default:
        return text;
    }
  });
}

function directive(date: Date, letter: string): string | undefined {
  const hours = date.getHours(),
    twelve = hours % 12 || 12,
    inner = (format: string) => strftime(date, format);
  switch (letter) {
    case "a":
      return DAYS[date.getDay()].slice(0, 3);
    case "A":
      return DAYS[date.getDay()];
    case "b":
    case "h":
      return MONTHS[date.getMonth()].slice(0, 3);
    case "B":
      return MONTHS[date.getMonth()];
    case "c":
      return inner("%a %b %e %H:%M:%S %Y");
    case "C":
      return two(Math.floor(date.getFullYear() / 100));
    case "d":
      return two(date.getDate());
    case "D":
    case "x":
      return inner("%m/%d/%y");
    case "e":
      return two(date.getDate(), " ");
    case "f":
      return `${String(date.getMilliseconds()).padStart(3, "0")}000`;
    case "F":
      return inner("%Y-%m-%d");
    case "G":
      return String(isoWeek(date).year);
    case "H":
      return two(hours);
    case "I":
      return two(twelve);
    case "j":
      return String(dayOfYear(date) + 1).padStart(3, "0");
    case "k":
      return two(hours, " ");
    case "l":
      return two(twelve, " ");
    case "m":
      return two(date.getMonth() + 1);
    case "M":
      return two(date.getMinutes());
    case "n":
      return "\n";
    case "p":
      return hours < 12 ? "AM" : "PM";
    case "P":
      return hours < 12 ? "am" : "pm";
    case "r":
      return inner("%I:%M:%S %p");
    case "R":
      return inner("%H:%M");
    case "S":
      return two(date.getSeconds());
    case "s":
      return String(Math.floor(date.getTime() / 1000));
    case "t":
      return "\t";
    case "T":
    case "X":
      return inner("%H:%M:%S");
    case "u":
      return String(date.getDay() || 7);
    case "U":
      return two(Math.floor((dayOfYear(date) + 7 - date.getDay()) / 7));
    case "V":
      return two(isoWeek(date).week);
    case "w":
      return String(date.getDay());
    case "W":
      return two(Math.floor((dayOfYear(date) + 7 - (date.getDay() + 6) % 7) / 7));
    case "y":
      return two(date.getFullYear() % 100);
    case "Y":
      return String(date.getFullYear());
    case "z": // a date without a zone has neither
    case "Z":
      return "";
    case "%":
      return "%";
    default:
      return undefined;
  }
}

/** Days since the year began. */
function dayOfYear(date: Date): number {
  const day = (year: number, month: number, dayOfMonth: number) =>
    Date.UTC(year, month, dayOfMonth) / 86_400_000;
  return day(date.getFullYear(), date.getMonth(), date.getDate()) - day(date.getFullYear(), 0, 1);
}

/** The ISO 8601 week: that of its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(
    date.getFullYear(),
    date.getMonth(),
    date.getDate() + 3 - (date.getDay() + 6) % 7,
  );
  return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 };
}
