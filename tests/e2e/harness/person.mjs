// SPDX-License-Identifier: Apache-2.0
// Somebody in front of a browser, with a profile of their own.
import { wordsOf } from './places.mjs';
import { Screen } from './screen.mjs';

export const ownPassword = 'water over the weir 7';

export class Person {
  // Faults that the page told its console.
  faults = [];

  static async open(browser, server, wish) {
    const person = new Person();
    person.server = server;
    person.language = wish.language ?? 'en';
    person.t = wordsOf(person.language);
    person.context = await browser.newContext({
      baseURL: server.url,
      locale: person.language === 'en' ? 'en-US' : person.language,
      colorScheme: wish.theme ?? 'light',
      viewport: { width: 1280, height: 800 },
      permissions: wish.clipboard ? ['clipboard-read', 'clipboard-write'] : [],
      reducedMotion: 'reduce',
    });
    person.context.setDefaultTimeout(15_000);
    person.page = await person.newTab();
    return person;
  }

  async newTab() {
    const page = await this.context.newPage();
    page.on('pageerror', (error) => this.faults.push(`${page.url()}: ${error.message}`));
    page.on('console', (line) => {
      if (line.type() === 'error') this.faults.push(`${page.url()}: ${line.text()}`);
    });
    return page;
  }

  button(key, params) {
    return this.page.getByRole('button', { name: this.t(key, params), exact: true });
  }

  text(key, params) {
    return this.page.getByText(this.t(key, params));
  }

  heading(key, params) {
    return this.page.getByRole('heading', { name: this.t(key, params), exact: true });
  }

  field(key, params) {
    return this.page.getByLabel(this.t(key, params), { exact: true });
  }

  // Chooses an entry of a list that opens on a click.
  async choose(key, option) {
    await this.page.getByRole('combobox', { name: this.t(key), exact: true }).click();
    await this.page.getByRole('option', { name: option, exact: true }).click();
  }

  async signIn(account) {
    await this.page.goto('/');
    await this.field('sign_in.name').fill(account.name);
    await this.field('sign_in.password').fill(account.password);
    await this.button('sign_in.go').click();
  }

  // With a one-time password: signs in and sets an own one.
  async firstSignIn(account) {
    await this.signIn(account);
    await this.heading('password.first_title').waitFor();
    await this.field('password.one_time').fill(account.password);
    await this.field('password.new').fill(ownPassword);
    await this.field('password.again').fill(ownPassword);
    await this.button('password.change').click();
    await this.heading('nav.desktops').waitFor();
    return { name: account.name, password: ownPassword };
  }

  // Goes to a place by its link in the head of the page.
  async goTo(key) {
    await this.page.getByRole('link', { name: this.t(key), exact: true }).click();
    await this.heading(key).waitFor();
  }

  card(name) {
    return this.page.getByRole('article', { name, exact: true });
  }

  cardIn(name, state) {
    return this.page.locator(`article[aria-label="${name}"][data-state="${state}"]`);
  }

  async menu(name, key) {
    await this.button('desktop.more', { name }).click();
    await this.page.getByRole('menuitem', { name: this.t(key), exact: true }).click();
  }

  // The desktop that is open, or opens by itself, in this person's page.
  async screen(page = this.page) {
    return Screen.of(page, this.server);
  }
}
