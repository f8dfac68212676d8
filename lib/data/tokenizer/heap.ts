/** A binary heap of numbers, least first. */
export class Heap {
  readonly #items: number[] = [];

  push(value: number): void {
    const items = this.#items;
    let i = items.push(value) - 1;
    for (let up; i > 0 && items[up = (i - 1) >> 1] > value; i = up) items[i] = items[up];
    items[i] = value;
  }

  pop(): number | undefined {
    const items = this.#items, top = items[0], last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let i = 0;
    for (let child; (child = 2 * i + 1) < items.length; i = child) {
      if (child + 1 < items.length && items[child + 1] < items[child]) child++;
      if (items[child] >= last) break;
      items[i] = items[child];
    }
    items[i] = last;
    return top;
  }
}
