/**
 * What a Parquet file claims, held against its size before it is believed.
 *
 * hyparquet allocates what headers and run lengths ask for: three kilobytes could take gigabytes. So the layout and the
 * pages are walked first: offsets within the file, counts that agree with each other, runs that end where they should.
 * Format: https://parquet.apache.org/docs/file-format/.
 */
import type { loadParquet } from "../../deps.ts";

/** The package, loaded. */
export type ParquetLibrary = Awaited<ReturnType<typeof loadParquet>>;
type Metadata = ReturnType<ParquetLibrary["parquet"]["parquetMetadata"]>;
type Tree = ReturnType<ParquetLibrary["parquet"]["parquetSchema"]>;
type Codec = keyof ParquetLibrary["compressors"] | "UNCOMPRESSED";

/** One leaf column of a row group. */
export interface ColumnLayout {
  readonly name: string;
  readonly codec: Codec;
  readonly values: number;
  /** Bytes [start, end) of the file. */
  readonly start: number;
  readonly end: number;
  readonly boolean: boolean;
  readonly maxDefinition: number;
  readonly maxRepetition: number;
}

/** One row group: what is read of it. */
export interface GroupLayout {
  readonly rows: number;
  /** Top-level columns. */
  readonly names: readonly string[];
  readonly columns: readonly ColumnLayout[];
  readonly unpackedBytes: number;
}

/** Nothing packs text tighter than this, gzip and Zstandard at their best included. */
const RATIO = 1200;
/** Values that a byte may stand for; runs of equal values are short in any data of rows. */
const VALUES_PER_BYTE = 64;
const SLACK = 4096;
/** Even a page of next to no bytes may hold as much: writers end a page at a megabyte. */
const PAGE_BYTES = 2 << 20;

/** The groups of a file. Throws where offsets or counts cannot be right. */
export function checkLayout(metadata: Metadata, sizeBytes: number, library: ParquetLibrary): GroupLayout[] {
  const tree = library.parquet.parquetSchema(metadata);
  const leaves = new Map(leavesOf(tree).map((leaf) => [leaf.path.join("\0"), leaf]));
  const groups = metadata.row_groups.map((group): GroupLayout => {
    const rows = count(group.num_rows, "rows");
    const columns = group.columns.map(({ meta_data: meta, file_path }): ColumnLayout => {
      if (!meta || file_path) throw new Error("a column lies in another file");
      const leaf = leaves.get(meta.path_in_schema.join("\0"));
      if (!leaf) throw new Error(`its schema has no column ${meta.path_in_schema.join(".")}`);
      const start = count(meta.dictionary_page_offset || meta.data_page_offset, "an offset");
      const end = start + count(meta.total_compressed_size, "a column's size");
      if (end > sizeBytes) throw new Error("a column reaches beyond the file's end");
      return {
        name: leaf.path[0]!,
        ...leaf.levels,
        codec: meta.codec as Codec,
        start,
        end,
        values: count(meta.num_values, "values"),
      };
    });
    const paths = new Set(group.columns.map(({ meta_data }) => meta_data!.path_in_schema.join("\0")));
    if (paths.size !== columns.length || columns.length !== leaves.size) {
      throw new Error("a row group does not have each column once");
    }
    const unpackedBytes = group.columns.reduce(
      (sum, c) => sum + count(c.meta_data!.total_uncompressed_size, "a size"),
      0,
    );
    const names = tree.children.filter((child) => !unreadable(child)).map((child) => child.element.name);
    return { rows, names, columns: columns.filter(({ name }) => names.includes(name)), unpackedBytes };
  });
  const rows = groups.reduce((sum, group) => sum + group.rows, 0);
  if (rows !== count(metadata.num_rows, "rows")) {
    throw new Error("its row groups have other rows than it says");
  }
  if (rows > SLACK + VALUES_PER_BYTE * sizeBytes) throw new Error(`${rows} rows in ${sizeBytes} bytes`);
  return groups;
}

/** A whole number that is not negative. */
function count(value: number | bigint | undefined, what: string): number {
  const number = Number(value ?? NaN);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${what}: ${value}`);
  return number;
}

interface Leaf {
  readonly path: readonly string[];
  readonly levels: Pick<ColumnLayout, "boolean" | "maxDefinition" | "maxRepetition">;
}

function leavesOf(tree: Tree): Leaf[] {
  const visit = (node: Tree, maxDefinition: number, maxRepetition: number): Leaf[] => {
    const kind = node === tree ? "REQUIRED" : node.element.repetition_type;
    const definition = maxDefinition + Number(kind !== "REQUIRED");
    const repetition = maxRepetition + Number(kind === "REPEATED");
    if (node.children.length > 0) {
      return node.children.flatMap((child) => visit(child, definition, repetition));
    }
    const levels = { maxDefinition: definition, maxRepetition: repetition };
    return [{ path: node.path, levels: { ...levels, boolean: node.element.type === "BOOLEAN" } }];
  };
  return visit(tree, 0, 0);
}

/** Types that hyparquet does not read; no row needs them. */
function unreadable(node: Tree): boolean {
  const { converted_type: type } = node.element;
  return type === "BSON" || type === "INTERVAL" || node.children.some(unreadable);
}

/** Throws where a page of the group claims more than its bytes can hold. */
export function checkGroup(group: GroupLayout, chunks: readonly Uint8Array[], library: ParquetLibrary): void {
  group.columns.forEach((column, i) => checkColumn(column, { bytes: chunks[i]!, rows: group.rows, library }));
}

function checkColumn(
  column: ColumnLayout,
  { bytes, rows, library }: { bytes: Uint8Array; rows: number; library: ParquetLibrary },
): void {
  const max = column.maxRepetition === 0 ? rows : rows + SLACK + VALUES_PER_BYTE * RATIO * bytes.length;
  if (column.values > max || (column.maxRepetition === 0 && column.values !== rows)) {
    throw new Error(`column ${column.name} has ${column.values} values in ${rows} rows`);
  }
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
  let values = 0;
  while (reader.offset < bytes.length && values < column.values) {
    const header = library.parquetHeader(reader);
    const packed = count(header.compressed_page_size, "a page's size");
    const unpacked = count(header.uncompressed_page_size, "a page's size");
    if (packed > bytes.length - reader.offset || unpacked > PAGE_BYTES + RATIO * packed) {
      throw new Error(`column ${column.name} has a page of ${unpacked} bytes in ${packed}`);
    }
    const page = bytes.subarray(reader.offset, reader.offset + packed);
    reader.offset += packed;
    const { data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary } = header;
    if (header.type === "DICTIONARY_PAGE") {
      if (count(dictionary?.num_values, "values") > SLACK + 8 * unpacked) {
        throw new Error("a dictionary is too large");
      }
      continue;
    }
    const found = count((v1 ?? v2)?.num_values, "values");
    values += found;
    if (values > column.values) throw new Error(`column ${column.name} has more values than it says`);
    const unpack = (part: Uint8Array, size: number) =>
      unpackPage(part, size, { codec: column.codec, library });
    if (v1) checkPage(unpack(page, unpacked), { column, values: found, encoding: v1.encoding });
    else if (v2) {
      const levels = count(v2.repetition_levels_byte_length, "a size") +
        count(v2.definition_levels_byte_length, "a size");
      count(found - (v2.num_nulls ?? 0), "values");
      if (levels > packed) throw new Error("a page's levels are longer than the page");
      checkLevelsV2(page, { column, values: found, repetitionBytes: v2.repetition_levels_byte_length });
      const data = page.subarray(levels);
      const rest = v2.is_compressed === false ? data : unpack(data, count(unpacked - levels, "a size"));
      checkIndices(rest, { column, values: found, encoding: v2.encoding });
    }
  }
}

function unpackPage(
  page: Uint8Array,
  size: number,
  { codec, library }: { codec: Codec; library: ParquetLibrary },
): Uint8Array {
  if (codec === "UNCOMPRESSED") return page;
  const unpack = library.compressors[codec];
  if (!unpack) throw new Error(`it is compressed with ${codec}, which is not read here`);
  return unpack(page, size);
}

interface PageClaims {
  readonly column: ColumnLayout;
  readonly values: number;
  readonly encoding: string;
}

/** Repetition levels, definition levels and dictionary indices, one after the other, each with its length before it. */
function checkPage(page: Uint8Array, claims: PageClaims): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  let at = 0;
  for (const max of [claims.column.maxRepetition, claims.column.maxDefinition]) {
    if (max === 0) continue;
    const length = view.getUint32(at, true);
    checkRuns(view, { at: at + 4, width: bitWidth(max), values: claims.values });
    at += 4 + length;
  }
  if (at > page.length) throw new Error("a page's levels are longer than the page");
  checkIndices(page.subarray(at), claims);
}

function checkLevelsV2(
  page: Uint8Array,
  { column, values, repetitionBytes }: { column: ColumnLayout; values: number; repetitionBytes: number },
): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const { maxRepetition, maxDefinition } = column;
  if (maxRepetition > 0) checkRuns(view, { at: 0, width: bitWidth(maxRepetition), values });
  if (maxDefinition > 0) checkRuns(view, { at: repetitionBytes, width: bitWidth(maxDefinition), values });
}

/** Values that are stored as runs: dictionary indices, with their width before them, and booleans. */
function checkIndices(data: Uint8Array, { column, values, encoding }: PageClaims): void {
  if (values === 0 || data.length === 0) return;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (encoding === "PLAIN_DICTIONARY" || encoding === "RLE_DICTIONARY") {
    const width = column.boolean ? 1 : view.getUint8(0);
    if (width > 32) throw new Error(`dictionary indices of ${width} bits`);
    if (width > 0) checkRuns(view, { at: 1, width, values, mayEnd: true });
  } else if (encoding === "RLE") checkRuns(view, { at: 4, width: 1, values, mayEnd: true });
  else if (encoding.startsWith("DELTA") && values > SLACK + VALUES_PER_BYTE * data.length) {
    throw new Error(`${values} values in ${data.length} bytes`);
  }
}

const bitWidth = (value: number) => 32 - Math.clz32(value);

/** Throws where a run of the hybrid of run lengths and bit packing goes on beyond the values (but for its padding). */
function checkRuns(
  view: DataView,
  { at, width, values, mayEnd = false }: { at: number; width: number; values: number; mayEnd?: boolean },
): void {
  for (let seen = 0; seen < values;) {
    if (mayEnd && at >= view.byteLength) return; // nulls have no index
    let header = 0, shift = 0, byte = 0x80;
    for (; byte & 0x80; shift += 7) {
      if (shift > 28) throw new Error("a run's length is no number");
      byte = view.getUint8(at++);
      header += (byte & 0x7f) * 2 ** shift;
    }
    const length = Math.floor(header / 2), packed = header % 2 === 1;
    const found = packed ? 8 * length : length;
    at += packed ? length * width : Math.ceil(width / 8);
    seen += found;
    // bit packing is in eights, and writers pad a page's last run
    if (seen > values + (packed ? 512 : 0)) throw new Error(`a run of ${found} where ${values} values are`);
  }
}
