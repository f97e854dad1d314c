'use strict';
// The page is whole without this script. With it, plots tell their values under
// the pointer and by keyboard, tables sort, and answers are kept.
{
	const body = document.body;
	const asSent = '<!doctype html>\n' + document.documentElement.outerHTML;
	const all = (selector, within = document) => [...within.querySelectorAll(selector)];
	const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

	// Values of plots. Each plot is one stop of the Tab key; arrows go from value to value.
	const tip = make('div', { className: 'tip', hidden: true });
	tip.setAttribute('aria-hidden', 'true'); // the same words are the value's label
	body.append(tip);
	const tell = value => {
		tip.hidden = !value;
		if (!value) return;
		tip.textContent = value.getAttribute('aria-label');
		const at = value.getBoundingClientRect(), own = tip.getBoundingClientRect(), gap = 8;
		const left = at.left + at.width / 2 - own.width / 2, above = at.top - own.height - gap;
		tip.style.left = Math.max(gap, Math.min(left, document.documentElement.clientWidth - own.width - gap)) + 'px';
		tip.style.top = (above > gap ? above : at.bottom + gap) + 'px';
	};
	const valueOf = event => event.target.closest('.values rect');
	for (const plot of all('.plot')) {
		const values = all('.values rect', plot);
		values.forEach((value, i) => {
			// Or the browser shows its title besides.
			const title = value.querySelector('title');
			value.setAttribute('role', 'img');
			value.setAttribute('aria-label', title.textContent);
			title.remove();
			value.setAttribute('tabindex', i ? -1 : 0);
		});
		plot.addEventListener('pointerover', event => tell(valueOf(event)));
		plot.addEventListener('pointerleave', () => tell(null));
		plot.addEventListener('focusin', event => tell(valueOf(event)));
		plot.addEventListener('focusout', () => tell(null));
		plot.addEventListener('click', event => valueOf(event)?.focus());
		plot.addEventListener('keydown', event => {
			const now = values.indexOf(event.target), last = values.length - 1;
			const next = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: last }[event.key];
			if (event.key === 'Escape') tell(null);
			if (now < 0 || next === undefined) return;
			event.preventDefault();
			const to = values[Math.max(0, Math.min(next, last))];
			event.target.setAttribute('tabindex', -1);
			to.setAttribute('tabindex', 0);
			to.focus();
		});
	}
	addEventListener('scroll', () => tell(null), { passive: true });

	// Tables: a click on a heading sorts up, the next down, the third puts the rows back.
	const units = { ns: 1e-9, 'µs': 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, '%': 0.01 };
	const number = text => {
		// "1.26 ms", "12,000", and "1.21 to 1.26 ms", whose unit is behind its last number.
		const [, digits, unit] = /^([+−-]?[\d,]*\.?\d+)(?:\sto\s[\d.,]+)?(?:\s*([a-zµ%]+))?/i.exec(text) ?? [];
		return parseFloat(digits?.replaceAll(',', '').replace('−', '-')) * (units[unit] ?? 1);
	};
	const words = new Intl.Collator('en', { numeric: true });
	const empty = text => text === '' || text === '–';
	// orderOf sorts the places of texts, as numbers if most are; what is missing comes last.
	const orderOf = (texts, way) => {
		const filled = texts.filter(text => !empty(text));
		const numeric = filled.filter(text => !isNaN(number(text))).length > filled.length / 2;
		const keys = numeric ? texts.map(number) : texts;
		const missing = key => numeric ? isNaN(key) : empty(key);
		const compare = (a, b) => way * (numeric ? a - b : words.compare(a, b));
		return texts.map((_, i) => i).sort((a, b) => missing(keys[a]) - missing(keys[b]) || compare(keys[a], keys[b]) || a - b);
	};
	const ways = { none: 'ascending', ascending: 'descending', descending: 'none' };
	for (const table of all('.scroll table')) {
		const rows = all('tbody tr', table), heads = all('thead th', table);
		if (rows.length < 2) continue;
		// A name that stands once for several rows is given to each when they part.
		const shown = rows.map(row => row.cells[0].textContent);
		let name = '';
		const names = shown.map(text => name = text || name);
		heads.forEach((head, i) => {
			if (!head.textContent) return; // the names of the rows
			const button = make('button', { type: 'button', textContent: head.textContent });
			head.replaceChildren(button);
			button.addEventListener('click', () => {
				const way = ways[head.getAttribute('aria-sort') ?? 'none'];
				heads.forEach(other => other.removeAttribute('aria-sort'));
				if (way !== 'none') head.setAttribute('aria-sort', way);
				rows.forEach((row, r) => { row.cells[0].textContent = (way === 'none' ? shown : names)[r]; });
				const texts = rows.map(row => row.cells[i].textContent.trim());
				const order = way === 'none' ? rows.keys() : orderOf(texts, way === 'ascending' ? 1 : -1);
				table.tBodies[0].append(...[...order].map(r => rows[r]));
			});
		});
	}

	// What is wider than the page scrolls by keyboard, too.
	const reach = () => {
		for (const wide of all('.scroll, .plot')) {
			if (wide.scrollWidth > wide.clientWidth) wide.setAttribute('tabindex', 0);
			else wide.removeAttribute('tabindex');
		}
	};
	addEventListener('resize', reach);
	all('details').forEach(details => details.addEventListener('toggle', reach));
	reach();

	// Answers are kept by this browser, and in a copy of the page that can be handed in.
	const answers = all('.ask textarea');
	const keyOf = answer => `bench ${body.dataset.run} ${answer.id}`;
	const grow = answer => {
		answer.style.height = 'auto';
		answer.style.height = answer.scrollHeight + 4 + 'px';
	};
	// A browser that keeps nothing for files throws; the page works without.
	const attempt = action => { try { return action(); } catch { return null; } };
	for (const answer of answers) {
		if (!body.dataset.copy) answer.value = attempt(() => localStorage.getItem(keyOf(answer))) ?? answer.value;
		grow(answer);
		answer.addEventListener('input', () => {
			grow(answer);
			attempt(() => localStorage.setItem(keyOf(answer), answer.value));
		});
	}
	for (const form of all('.questions')) {
		const save = make('button', { type: 'button', textContent: 'Save a copy of this page with all answers' });
		save.addEventListener('click', () => {
			const copy = new DOMParser().parseFromString(asSent, 'text/html');
			copy.body.dataset.copy = 'yes';
			for (const answer of answers) copy.getElementById(answer.id).textContent = answer.value;
			const page = new Blob(['<!doctype html>\n' + copy.documentElement.outerHTML], { type: 'text/html' });
			const link = make('a', { href: URL.createObjectURL(page), download: 'report-with-answers.html' });
			link.click();
			setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
		});
		form.append(save);
	}
}
